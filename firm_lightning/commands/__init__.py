"""What stands behind the command line: strict configs, Lightning's subcommands, commands that are plain functions."""
