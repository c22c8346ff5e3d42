# From what `mohvit COMMAND --help` says to a manual page. The help is
#   a line "Usage: ...";
#   paragraphs;
#   lists: lines of two blanks, a term, two blanks or more and its text, which goes on in lines of more blanks. A list of
#   options, whose terms begin with "-", may have a heading, such as "Model:"; so has the list of commands.

function roff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/,"/, ",\\:\"", text) # JSON is long words
    return text ~ /^[.']/ ? "\\&" text : text
}

# Literal words of a term are bold, its variables slanted: "-o, --output FILE", "eval".
function term(text,    part, styled) {
    while (match(text, /[A-Z][A-Z.]*[A-Z]|[A-Z]|[-a-z0-9:_.]+/)) {
        part = substr(text, RSTART, RLENGTH)
        styled = styled roff(substr(text, 1, RSTART - 1)) (part ~ /^[A-Z]/ ? "\\fI" : "\\fB") roff(part) "\\fR"
        text = substr(text, RSTART + RLENGTH)
    }
    return styled roff(text)
}

function describe(line) { description = description line "\n" }
function list(line) { if (in_options) options = options line "\n"; else if (in_commands) pages = pages line "\n"; else describe(line) }

NR == 1 {
    sub(/^Usage: /, "")
    synopsis = $0
    next
}
/^$/ {
    in_list = in_options = in_commands = 0
    between = 1
    next
}
/^[A-Z][A-Za-z ]*:$/ {
    heading = substr($0, 1, length - 1)
    in_commands = heading == "Commands"
    next
}
/^  [^ ]/ { # a term, and what it means
    text = substr($0, 3)
    split_at = match(text, /   *[^ ]/)
    meaning = split_at ? substr(text, RSTART) : ""
    if (split_at)
        text = substr(text, 1, RSTART - 1)
    sub(/^ */, "", meaning)
    if (in_commands && text ~ /^help/) # has no page
        next
    if (!in_list) {
        in_list = 1
        in_options = text ~ /^-/
        if (in_options && heading != "" && heading != "Options")
            options = options ".SS " heading "\n"
        heading = ""
    }
    list(in_commands ? ".TP\n.BR " name "\\-" text " (1)" : ".TP\n" term(text))
    if (meaning != "")
        list(roff(meaning))
    next
}
in_list && /^   / {
    sub(/^ */, "")
    list(roff($0))
    next
}
{
    if (in_list || between) { # a new paragraph, also behind a list
        if (description != "")
            describe(".PP")
        in_list = in_options = in_commands = 0
    }
    between = 0
    if (heading != "") # was none
        describe(roff(heading) ":")
    heading = ""
    describe(roff($0))
}
END {
    upper = toupper(name)
    printf ".TH %s 1 \"%s\" \"mohvit %s\" \"User Commands\"\n.ad l\n.nh\n", roff(upper), date, version
    printf ".SH NAME\n%s \\- %s\n", roff(name), roff(summary)
    printf ".SH SYNOPSIS\n%s\n", term(synopsis)
    printf ".SH DESCRIPTION\n%s", description
    while ((getline line < more) > 0) {
        if (!sections && line ~ /^\.SH /) {
            sections = 1
            finish()
        }
        print line
    }
    if (!sections)
        finish()
    if (name != "mohvit")
        print ".SH SEE ALSO\n.BR mohvit (1)"
}

function finish() {
    if (pages != "")
        printf ".SH COMMANDS\n%s", pages
    if (options != "")
        printf ".SH OPTIONS\n%s", options
}
