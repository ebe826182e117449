"""Behind the figures of an evaluation: how sure they are, what simpler ways reach, what is wrong in the data.

`analyse.analyse_run` writes all of it into the run; the other modules each find one part.
"""
