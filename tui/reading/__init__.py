"""What is read from run folders and the index, in threads: each look returns what is new."""
