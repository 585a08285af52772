"""The subcommands of `evalpack`, a module each."""
