"""What is written from the code and never by hand: the reference of the configuration and the manual pages."""
