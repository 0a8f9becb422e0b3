"""The values of the configuration file and a reader for each of its tables; files are read by `config` alone."""
