"""What a message is: header block, addresses, envelope.  Pure; knows neither SMTP nor a provider."""
