"""The subcommands of drn, a module each; they parse options, call the floors below and print."""
