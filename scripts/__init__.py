"""What has to run before anything is installed: standard library only."""
