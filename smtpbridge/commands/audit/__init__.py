"""`smtpbridge audit`: what a move would mean for mail that is kept in files."""
