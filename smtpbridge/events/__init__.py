"""Twisted, HTTP side: Infobip's notifications in, SparkPost's webhooks out."""
