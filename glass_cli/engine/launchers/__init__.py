"""Where the pictures of an evaluation are drawn: in this process, or by the actors of Ray."""
