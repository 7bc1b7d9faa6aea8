"""`ingot completion`: what a shell needs to complete ingot's words. May not: change a file of the user's.

Invariant: the script asks the program itself, so it never has to be made anew.
"""

from __future__ import annotations

import click

_WHERE = {
    "bash": "ingot completion bash > /etc/bash_completion.d/ingot",
    "zsh": 'ingot completion zsh > "${fpath[1]}/_ingot"',
    "fish": "ingot completion fish > ~/.config/fish/completions/ingot.fish",
}
# click's script knows by this that zsh has loaded it as a function, but it holds at the first completion alone: at the
# second the script takes itself for one that is sourced, and completes nothing (click 8.5, zsh 5.9).
_LOADED_NOW = "$zsh_eval_context[-1] == loadautofunc"
_LOADED = "$funcstack[1] == _ingot"


@click.command(epilog="\b\n" + "\n".join(_WHERE.values()))
@click.argument("shell", type=click.Choice(sorted(_WHERE)))
def completion(shell: str) -> None:
    """Print the completion script for SHELL."""
    from click import shell_completion

    from ingot.cli import main

    kind = shell_completion.get_completion_class(shell)
    assert kind is not None
    # The class's own source() would start the shell to ask its version.
    made = kind(main.root, {}, "ingot", "_INGOT_COMPLETE")
    click.echo((kind.source_template % made.source_vars()).replace(_LOADED_NOW, _LOADED))
