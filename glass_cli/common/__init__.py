"""What everything stands on: errors, files, devices, downloads."""
