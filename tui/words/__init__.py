"""What is said about runs and computers, safe to show and cut to the room there is."""
