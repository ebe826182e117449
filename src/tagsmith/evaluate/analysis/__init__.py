"""Behind the figures of an evaluation: how certain they are, what baselines reach, what is wrong in the data.

`analyse_run.analyse_run` writes all of it into the run; each other module computes one part.
"""
