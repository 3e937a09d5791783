"""`glass completion SHELL`: what bash, zsh and fish run when the Tab key is pressed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from glass_cli.commands.candidates import Candidate, Command, candidates
from glass_cli.common.errors import GlassError

# Each script calls `glass complete SHELL ...`, which prints a candidate a line. Bash hands over
# the whole line, since it has cut it into words at = and : as well; bash 3.2, which macOS has,
# knows neither mapfile nor compopt.
SCRIPTS = {
    "bash": """\
# glass in bash; in ~/.bashrc: eval "$(glass completion bash)"
_glass() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(glass complete bash -- "$COMP_LINE" "$COMP_POINT" "$COMP_WORDBREAKS" 2>/dev/null)
}
complete -o nospace -F _glass glass
""",
    "zsh": """\
#compdef glass
# glass in zsh; in ~/.zshrc: eval "$(glass completion zsh)"
_glass() {
    local word text width=0
    local -a words_on texts_on words_end texts_end before
    before=("${(@Q)words[2,CURRENT-1]}")
    while IFS=$'\\t' read -r word text; do
        if [[ $word == *[=./] ]]; then
            words_on+=("$word") texts_on+=("$word${text:+  -- $text}")
        else
            words_end+=("$word") texts_end+=("$word${text:+  -- $text}")
        fi
    done < <(glass complete zsh -- "${before[@]}" "${(Q)PREFIX}" 2>/dev/null)
    compadd -l -S '' -d texts_on -a words_on
    compadd -l -d texts_end -a words_end
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
compdef _glass glass
""",
    "fish": """\
# glass in fish; in ~/.config/fish/config.fish: glass completion fish | source
function __glass_candidates
    set -l before (commandline -opc)
    glass complete fish -- $before[2..-1] (commandline -ct) 2>/dev/null
end
complete -c glass -e
complete -c glass -f -a '(__glass_candidates)'
""",
}


def script(shell: str) -> str:
    """What makes ``shell`` complete the words of `glass`. Raises GlassError for other shells."""
    if shell not in SCRIPTS:
        raise GlassError(f"no completion for {shell}; there is for {', '.join(SCRIPTS)}")
    return SCRIPTS[shell].rstrip()


def commands_of(group: Any) -> dict[str, Command]:
    """Every command of Typer's group that is not hidden, with its options."""
    return {
        name: Command(
            command.get_short_help_str(limit=100),
            {
                option: getattr(parameter, "help", "") or ""
                for parameter in command.params
                for option in parameter.opts
                if option.startswith("-")
            }
            | {"--help": "Show this message and exit."},
        )
        for name, command in group.commands.items()
        if not command.hidden
    }


def answer(shell: str, words: Sequence[str], commands: Mapping[str, Command]) -> str:
    """The candidates as the script of ``shell`` reads them, one a line.

    words: for bash the line, the cursor's place in it and COMP_WORDBREAKS; for the others the
        words after `glass` up to the cursor.
    """
    if shell != "bash":
        return "\n".join(f"{each.word}\t{each.text}" for each in candidates(words, commands))
    line, point, breaks = words
    before, word, quote = _words(line.encode()[: int(point)].decode("utf-8", "ignore"))
    return "\n".join(_for_bash(candidates([*before[1:], word], commands), word, quote, breaks))


def _for_bash(offered: Sequence[Candidate], word: str, quote: str, breaks: str) -> Iterator[str]:
    """Bash replaces what stands after the last of its breaks, and needs the rest alone."""
    cut = 0 if quote else max((word.rfind(mark) for mark in "=:" if mark in breaks), default=-1) + 1
    for each in offered:
        text = each.word[cut:]
        if not quote:
            text = "".join(f"\\{c}" if c in " '\"\\$`&;()<>|*?[]{}" else c for c in text)
        yield text + ("" if each.more else quote + " ")


def _words(line: str) -> tuple[list[str], str, str]:
    """The words of a line that is cut off at the cursor: all before, the last, its open quote."""
    before: list[str] = []
    word, quote, begun = "", "", False
    letters = iter(line)
    for letter in letters:
        if letter == "\\" and quote != "'":
            word, begun = word + next(letters, ""), True
        elif quote:
            word, quote = (word, "") if letter == quote else (word + letter, quote)
        elif letter in "'\"":
            quote, begun = letter, True
        elif letter.isspace():
            if begun:
                before.append(word)
            word, begun = "", False
        else:
            word, begun = word + letter, True
    return before, word, quote
