# Completion of mohvit's command line for bash. It knows no command, option or value of its own: "mohvit --help" lists
# the commands, "mohvit COMMAND --help" the options, and a value that no option takes makes the program list those that
# this one does take.
# shellcheck shell=bash

# The commands that a help lists, one a line.
_mohvit_commands() {
    "$@" --help 2>/dev/null | sed -n '/^Commands:$/,/^$/s/^  \([a-z]\{1,\}\) .*/\1/p'
}

# Lines "--option METAVAR", without METAVAR where the option takes no value.
_mohvit_options() {
    "$@" --help 2>/dev/null |
        sed -nE 's/^  (-., )?(--[a-z-]+)( ([A-Z][^ ]*))?(, (--[a-z-]+))?( .*)?$/\2 \4\n\6/p' | sed -n '/^--/p'
}

# The values that an option takes, where they are a list. The second option is none, so that nothing is ever run.
_mohvit_values() {
    local option=$1
    shift
    "$@" "$option" '' --no-such-option 2>&1 >/dev/null | sed -n 's/.*expected one of //p' | sed 's/, */\n/g'
}

_mohvit() {
    local program=$1 current=$2 previous=$3 metavar command=() words=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
    program=${program/#\~/$HOME}
    COMPREPLY=()

    # bash takes --option=value for three words.
    if [[ $current == = ]]; then
        current=
    elif [[ $previous == = && $COMP_CWORD -ge 2 ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi

    # The command, and the one below it, if there is one.
    if [[ ${#words[@]} -gt 0 && ${words[0]} != -* ]]; then
        command=("${words[0]}")
        [[ ${words[0]} == help ]] && command=()
        if [[ ${words[0]} == headload && ${#words[@]} -gt 1 && ${words[1]} != -* ]]; then
            command+=("${words[1]}")
        fi
    fi

    if [[ $previous == --* ]]; then
        metavar=$(_mohvit_options "$program" "${command[@]}" |
            awk -v option="$previous" '$1 == option { print $2 }')
        case $metavar in
        '') ;;
        FILE)
            compopt -o filenames 2>/dev/null || true
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        *)
            mapfile -t COMPREPLY < <(compgen -W "$(_mohvit_values "$previous" "$program" "${command[@]}")" -- "$current")
            return
            ;;
        esac
    fi
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_mohvit_options "$program" "${command[@]}" | cut -d ' ' -f 1)" -- "$current")
    elif [[ ${#words[@]} == 0 || ${#words[@]} == 1 && (${words[0]} == help || ${words[0]} == headload) ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_mohvit_commands "$program" "${command[@]}")" -- "$current")
    else
        compopt -o filenames 2>/dev/null || true
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}

complete -F _mohvit mohvit
