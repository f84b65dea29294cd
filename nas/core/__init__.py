"""What every package may use: files, units, devices."""
