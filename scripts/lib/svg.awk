# Draws what a terminal shows as an SVG picture: reads lines with SGR sequences (as `tmux capture-pane -e`
# gives them), knows bold, dim and the sixteen colours, and leaves out every other sequence.
# -v columns=N is the width of the terminal.

BEGIN {
    split("#3b4252 #e06c75 #98c379 #e5c07b #61afef #c678dd #56b6c2 #d8dee9", normal, " ")
    split("#7f8896 #ff7b86 #b5e890 #ffd787 #82c4ff #e29bff #7fdbe6 #ffffff", bright, " ")
    advance = 8.4; height = 19; margin = 18; bar = 30
}

function escaped(text) {
    gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text)
    return text
}

# One run of text in the style of the moment.
function span(text,    style) {
    if (text == "") return ""
    if (colour != "") style = style " fill=\"" colour "\""
    if (bold) style = style " font-weight=\"bold\""
    if (dim) style = style " fill-opacity=\"0.6\""
    return style == "" ? escaped(text) : "<tspan" style ">" escaped(text) "</tspan>"
}

# The parameters of one SGR sequence.
function select_style(parameters,    codes, count, i, code) {
    count = split(parameters == "" ? "0" : parameters, codes, ";")
    for (i = 1; i <= count; i++) {
        code = codes[i] + 0
        if (code == 0) { bold = 0; dim = 0; colour = "" }
        else if (code == 1) bold = 1
        else if (code == 2) dim = 1
        else if (code == 22) { bold = 0; dim = 0 }
        else if (code == 39) colour = ""
        else if (code >= 30 && code <= 37) colour = normal[code - 29]
        else if (code >= 90 && code <= 97) colour = bright[code - 89]
        else if (code == 38 || code == 48) break
    }
}

{
    rest = $0; drawn = ""
    while (match(rest, /\033\[[0-9;?]*[A-Za-z]/)) {
        drawn = drawn span(substr(rest, 1, RSTART - 1))
        sequence = substr(rest, RSTART + 2, RLENGTH - 3)
        if (substr(rest, RSTART + RLENGTH - 1, 1) == "m") select_style(sequence)
        rest = substr(rest, RSTART + RLENGTH)
    }
    lines[NR] = drawn span(rest)
    if (lines[NR] ~ /[^ ]/) last = NR
}

END {
    width = int(columns * advance + 2 * margin); total = bar + last * height + 2 * margin
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\">\n", width, total, width, total
    printf "<rect width=\"100%%\" height=\"100%%\" rx=\"8\" fill=\"#22262e\"/>\n"
    split("#ff5f57 #febc2e #28c840", lights, " ")
    for (i = 1; i <= 3; i++) printf "<circle cx=\"%d\" cy=\"20\" r=\"6\" fill=\"%s\"/>\n", margin + 6 + (i - 1) * 20, lights[i]
    printf "<g font-family=\"DejaVu Sans Mono, Menlo, Consolas, monospace\" font-size=\"14\" fill=\"#d8dee9\" xml:space=\"preserve\">\n"
    for (i = 1; i <= last; i++) if (lines[i] != "") printf "<text x=\"%d\" y=\"%d\">%s</text>\n", margin, bar + margin + i * height - 6, lines[i]
    print "</g>\n</svg>"
}
