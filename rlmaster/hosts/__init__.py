"""The computers that runs may use: how busy they are, how a worker starts there."""
