"""The exported folder: what it holds (`contents`), and answers to check it by (`golden`)."""
