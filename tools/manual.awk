# Manual pages from headers: see tools/make-manual. What a comment means here is told in docs/development.md.

# ---- reading: headers become items, each with a comment and code ----

FNR == 1 {
    file = FILENAME
    sub(/.*\//, "", file)
    is_example = file ~ /\.c$/
    is_cpp = file ~ /\.hpp$/
    header = "asynq/" file
    comment = section = ""
    group = in_comment = kind = has_head = 0
    if (is_example) examples[++example_count] = file
}
is_example { example[file] = example[file] $0 "\n"; next }
in_comment || (!kind && (/^\/\*/ || (is_cpp && /^ *\/\*/))) {
    if (!in_comment) comment = ""
    in_comment = $0 !~ /\*\/[ \t]*$/
    comment = comment comment_line($0) "\n"
    if (!in_comment) take_comment()
    next
}
!kind && /^[ \t]*$/ { comment = ""; group = 0; next }
is_cpp { read_cpp_line($0); next }
!kind {
    kind = kind_of($0)
    if (!kind) { comment = ""; group = 0; next }
    code = ""
}
{
    code = code $0 "\n"
    if (is_complete($0)) { take_code(); kind = 0 }
}
END { write_pages() }

function comment_line(line) {
    sub(/^ *\/\* ?/, "", line)
    sub(/ *\*\/[ \t]*$/, "", line)
    sub(/^ +\* ?/, "", line)
    return line
}

function take_comment() {
    gsub(/^\n+|\n+$/, "", comment)
    group = 0
    if (comment ~ /^---- .* ----$/) { section = comment; comment = ""; return }
    if (comment ~ /^clang-format/) { comment = ""; return }
    if (!has_head) { head[header] = comment; has_head = 1; comment = "" }
}

function kind_of(line) {
    if (line ~ /^ASYNQ_(API|SIZED) /) return "call"
    if (line ~ /^typedef struct [a-z_]+ [a-z_]+;/) return "opaque"
    if (line ~ /^typedef struct /) return "struct"
    if (line ~ /^typedef enum /) return "enum"
    if (line ~ /^enum \{/) return "constants"
    if (line ~ /^typedef /) return "callback"
    if (line ~ /^#define ASYNQ_ERROR_MAP/) return "errors"
    if (line ~ /^#define ASYNQ_(API|MUST_CHECK|PRINTF|SIZED|SIZED_API|UNUSED|ERROR_ENUM|[A-Z]+_H|[A-Z]+_HPP)($|[ (])/) return "skipped macro"
    if (line ~ /^#define ASYNQ_/) return "macro"
    if (line ~ /^#define/) return "skipped macro"
    if (line ~ /^(ASYNQ_SIZED_API|static) /) return "skipped"
    return 0
}

function is_complete(line) {
    if (kind ~ /macro|errors/) return line !~ /\\$/
    if (kind ~ /struct|enum|constants/) return line ~ /^\}/ || line ~ /\};$/
    return line ~ /;$/
}

function take_code(    name) {
    if (kind ~ /skipped/) { comment = ""; group = 0; return }
    if (kind == "errors") { read_errors(code); comment = ""; return }
    name = name_of(code)
    if (kind == "call" && code ~ /^ASYNQ_SIZED /) link_to[name "_sized"] = name
    if (!(group && comment == "" && item_kind[group] == kind)) {
        group = ++item_count
        item_kind[group] = kind
        item_header[group] = header
        item_section[group] = header section
        item_text[group] = comment
        item_name[group] = name
    } else if (name != "") {
        link_to[name] = item_name[group]
    }
    item_names[group] = item_names[group] " " name
    item_code[group] = item_code[group] plain_code(code)
    page[name] = group
    if (kind ~ /struct|enum|constants/) read_members(group, code)
    comment = ""
}

function name_of(code,    name) {
    if (kind == "macro") { split(code, word, /[ (]+/); return word[2] }
    if (kind == "constants") { match(code, /ASYNQ_[A-Z_0-9]+/); return substr(code, RSTART, RLENGTH) }
    if (kind == "callback") { match(code, /\(\*asynq_[a-z_]+\)/); return substr(code, RSTART + 2, RLENGTH - 3) }
    if (kind == "call") {
        match(code, /asynq_[a-z_0-9]*\(/)
        return substr(code, RSTART, RLENGTH - 1)
    }
    match(code, /asynq_[a-z_]+/)
    return substr(code, RSTART, RLENGTH)
}

# Without attributes, comments and blank lines.
function plain_code(code,    from, length_of) {
    gsub(/ASYNQ_API |ASYNQ_SIZED |ASYNQ_MUST_CHECK /, "", code)
    sub(/[ \n]+ASYNQ_PRINTF\([0-9, ]*\)/, "", code)
    while (from = index(code, "/*")) {
        length_of = index(substr(code, from), "*/") + 1
        code = substr(code, 1, from - 1) substr(code, from + length_of)
    }
    if (kind == "macro" && code ~ /^#define [A-Z_]+\(/) { sub(/\).*/, ")", code); code = code "\n" }
    gsub(/[ \t]+\n/, "\n", code)
    while (sub(/\n\n+/, "\n", code)) continue
    return code
}

function read_errors(code,    lines, count, i, part) {
    count = split(code, lines, "\n")
    for (i = 1; i <= count; i++)
        if (match(lines[i], /X\([A-Z_]+, -[0-9]+, (true|false), ".*"\)/)) {
            split(substr(lines[i], RSTART + 2, RLENGTH - 3), part, ", ")
            error_name[++error_count] = "ASYNQ_E_" part[1]
            is_temporary[error_name[error_count]] = part[3] == "true"
            match(lines[i], /".*"/)
            error_text[error_name[error_count]] = substr(lines[i], RSTART + 1, RLENGTH - 2)
        }
    link_to["ASYNQ_ERROR_MAP"] = "asynq_status"
}

# ---- members of structs and enums ----

function read_members(item, code,    body, is_enum, gap, end, part, count, pending) {
    body = code
    sub(/^[^{]*\{/, "", body)
    sub(/\n?[ \t]*\}[^}]*$/, "", body)
    is_enum = kind != "struct"
    if (item_name[item] == "asynq_status") { read_status(item); return }
    pending = ""
    while (1) {
        match(body, /^[ \t\n]*/)
        gap = substr(body, 1, RLENGTH)
        body = substr(body, RLENGTH + 1)
        if (body == "") break
        if (substr(body, 1, 2) == "/*") {
            end = index(body, "*/")
            part = member_comment(substr(body, 3, end - 3))
            body = substr(body, end + 2)
            if (count && gap !~ /\n/) member_text[item, count] = part
            else pending = part
            continue
        }
        end = match(body, is_enum ? ",|/[*]" : ";") ? RSTART : length(body) + 1
        part = substr(body, 1, end - 1)
        body = substr(body, substr(body, end, 1) == "/" ? end : end + 1)
        gsub(/[ \t\n]+/, " ", part)
        sub(/ $/, "", part)
        member[item, ++count] = part
        member_gap[item, count] = gap ~ /\n[ \t]*\n/
        member_lead[item, count] = pending
        pending = ""
        if (is_enum && constant_in(part) != item_name[item]) link_to[constant_in(part)] = item_name[item]
    }
    member_count[item] = count
    place_leads(item)
}

# A comment above a member is its text, or else introduces the members below it.
function place_leads(item,    i) {
    for (i = 1; i <= member_count[item]; i++)
        if (member_lead[item, i] != "" && member_text[item, i] == "") {
            member_text[item, i] = member_lead[item, i]
            member_lead[item, i] = ""
            member_is_led[item, i] = 1
        }
}

function member_comment(text) {
    gsub(/\n[ \t]*\* ?/, "\n", text)
    gsub(/\n[ \t]+/, "\n", text)
    gsub(/^[ \n]+|[ \n]+$/, "", text)
    return text
}

function read_status(item,    i, count) {
    member[item, ++count] = "ASYNQ_OK = 0"
    member_text[item, count] = "the call succeeded"
    link_to["ASYNQ_OK"] = item_name[item]
    for (i = 1; i <= error_count; i++) {
        member[item, ++count] = error_name[i]
        member_text[item, count] = error_text[error_name[i]] (is_temporary[error_name[i]] ? "; temporary" : "")
        link_to[error_name[i]] = item_name[item]
    }
    member_count[item] = count
    item_code[item] = "typedef enum asynq_status asynq_status;\n"
}

# ---- classes of C++: what is public in them ----

function read_cpp_line(line) {
    if (line ~ /^(class|struct|template <.*> class) [a-z_]+/ && comment != "") begin_class(line)
    else if (line ~ /^\}/) is_public = 0
    else if (line ~ /^  (public|private):$/) is_public = line ~ /public/
    else if (is_public && line ~ /^    [A-Za-z~[]/) signature = signature line
    else if (is_public && line ~ /^        [^ ]/ && !in_body) signature = signature " " line
    if (is_public && line ~ /^    \{/) { take_method(); in_body = 1 }
    else if (is_public && line ~ /^    [a-z].*;( |$)/) take_data(line)
    else if (line ~ /^    \}/) in_body = 0
    else if (in_body && method_call[class_count, methods] == "") method_call[class_count, methods] = call_in(line)
    if (signature == "" || in_body) comment = ""
}

function begin_class(line) {
    is_public = line ~ /^struct/
    sub(/^template <.*> /, "", line)
    split(line, word, " ")
    class[++class_count] = word[2]
    class_text[class_count] = comment
    methods = in_body = 0
    signature = ""
}

function add_method(text) {
    method[class_count, ++methods] = text
    method_text[class_count, methods] = comment
    method_count[class_count] = methods
    signature = comment = ""
}

# Of a template that takes one type only, that type; without what a constructor does.
function take_method() {
    if (match(signature, /is_same_v<Options, [a-z_]+>/)) {
        gsub(/const Options/, "const " substr(signature, RSTART + 19, RLENGTH - 20), signature)
        sub(/template <.*>, int> = 0>/, "", signature)
    }
    sub(/\) (noexcept )?: .*/, ")", signature)
    gsub(/ +/, " ", signature)
    sub(/^ /, "", signature)
    if (signature ~ /operator=|&&other|^~/) signature = ""
    else add_method(signature)
}

function take_data(line,    note) {
    if (line ~ /= (default|delete);$|^ *using /) { signature = ""; return }
    if (match(line, /\/\*.*\*\//)) note = member_comment(substr(line, RSTART + 2, RLENGTH - 4))
    sub(/;.*/, "", line)
    sub(/^ */, "", line)
    comment = note
    add_method(line)
}

# The call in C that a method makes.
function call_in(line) {
    while (match(line, /asynq_[a-z_]+\(/)) {
        if (substr(line, RSTART, RLENGTH - 1) in page) return substr(line, RSTART, RLENGTH - 1)
        line = substr(line, RSTART + RLENGTH)
    }
    return ""
}

# ---- what a comment has: description, result, errors, thread ----

function clear_facts(    key) {
    about = results = thread = as_in = ""
    fact_error_count = 0
    for (key in reason) delete reason[key]
}

function read_facts(text,    paragraphs, count, i) {
    clear_facts()
    count = split(text, paragraphs, "\n\n")
    for (i = 1; i <= count; i++) {
        about = about (about == "" ? "" : "\n\n")
        if (paragraphs[i] ~ /^ +[^ ]/) about = about paragraphs[i]
        else read_sentences(paragraphs[i], i == 1)
        sub(/(\n\n)+$/, "", about)
    }
}

function read_sentences(paragraph, is_first,    words, count, i, sentence, number) {
    gsub(/\n/, " ", paragraph)
    count = split(paragraph, words, / +/)
    sentence = ""
    for (i = 1; i <= count; i++) {
        sentence = sentence (sentence == "" ? "" : " ") words[i]
        if (i == count || ends_sentence(words[i], words[i + 1])) {
            read_sentence(sentence, is_first && ++number == 1)
            sentence = ""
        }
    }
}

function ends_sentence(word, after) { return word ~ /[.!?][")]*$/ && after ~ /^[("`]*[A-Z`0-9]|^asynq/ }

function read_sentence(sentence, is_first,    is_result) {
    is_result = sentence ~ /^(Returns? |Never NULL|NULL: |Static storage|With 0, )/
    if (is_result) results = results (results == "" ? "" : " ") without_codes(sentence)
    if (sentence ~ /^Thread: /) thread = sentence
    if (sentence ~ /^Errors: those of asynq_/) { match(sentence, /asynq_[a-z_]+/); as_in = substr(sentence, RSTART, RLENGTH) }
    if (is_result || sentence ~ /^(Thread|Errors|ASYNQ_E_[A-Z_]+): /) read_codes(sentence)
    if (is_first || !(is_result || sentence ~ /^(Thread|Errors|ASYNQ_E_[A-Z_]+): /))
        about = about (about == "" || about ~ /\n$/ ? "" : " ") sentence
}

# "0, or ASYNQ_E_INVALID (...), ..." says no more than the section ERRORS does.
function without_codes(sentence,    rest) {
    rest = sentence
    while (sub(/ \([^()]*(\([^()]*\)[^()]*)*\)/, "", rest)) continue
    gsub(/ASYNQ_E_[A-Z_]+/, "", rest)
    if (rest ~ /^Returns 0[, ]*(or )?(an error)?[:, or]*\.$/) return "Returns 0, or a negative asynq_status, see ERRORS."
    sub(/: ASYNQ_E_.*/, ", see ERRORS.", sentence)
    return sentence
}

function read_codes(sentence,    code) {
    while (match(sentence, /ASYNQ_E_[A-Z_]+/)) {
        code = substr(sentence, RSTART, RLENGTH)
        sentence = substr(sentence, RSTART + RLENGTH)
        add_error(code, reason_in(sentence))
    }
}

function add_error(code, why) {
    if (!(code in reason)) fact_errors[++fact_error_count] = code
    if (index(reason[code], why) == 0) reason[code] = reason[code] (reason[code] == "" ? "" : "; or ") why
}

function reason_in(rest,    depth, i, char) {
    if (substr(rest, 1, 2) == " (") {
        for (i = 2; i <= length(rest); i++) {
            char = substr(rest, i, 1)
            depth += char == "(" ? 1 : char == ")" ? -1 : 0
            if (!depth) return substr(rest, 3, i - 3)
        }
    }
    if (substr(rest, 1, 2) != ": ") return ""
    rest = substr(rest, 3)
    sub(/[;,] (or )?ASYNQ_E_.*/, "", rest)
    sub(/\.$/, "", rest)
    return rest
}

# What the head of the header says of all calls; and the errors of another call.
function add_common_facts(item,    own, i, paragraphs, count, name) {
    count = split(head[item_header[item]], paragraphs, "\n\n")
    for (i = 1; i <= count; i++) {
        gsub(/\n/, " ", paragraphs[i])
        if (thread == "" && paragraphs[i] ~ /^Thread: /) thread = paragraphs[i]
        if (paragraphs[i] ~ /^Errors of all calls: / && item_code[item] ~ /^int [^\n]*[^;]*asynq_error \*error/) read_codes(paragraphs[i])
    }
    if (as_in == "") return
    name = as_in
    own = about SUBSEP results SUBSEP thread
    read_facts(item_text[page[name]])
    split(own, saved, SUBSEP)
    about = saved[1]; results = saved[2]; thread = saved[3]; as_in = ""
}

# ---- writing ----

function write_pages(    i, name) {
    for (i = 1; i <= item_count; i++) write_page(i)
    if (class_count) write_cpp_page()
    for (name in link_to) if (!(name in page) || item_name[page[name]] != name) {
        out = directory "/" name ".3"
        print ".so man3/" link_to[name] ".3" >out
        close(out)
    }
}

function begin_page(names, summary, header,    count, word, i) {
    count = split(names, word, " ")
    page_name = word[1]
    out = directory "/" page_name ".3"
    for (i in see) delete see[i]
    for (i in see_other) delete see_other[i]
    print ".\\\" Made by tools/make-manual from <" header ">." >out
    print ".Dd " day "\n.Dt " toupper(page_name) " 3\n.Os libasynq\n.Sh NAME" >out
    for (i = 1; i <= count; i++) print ".Nm " word[i] (i < count ? " ," : "") >out
    gsub(/`/, "", summary)
    print ".Nd " escape(summary) "\n.Sh SYNOPSIS\n.In " header >out
}

function write_page(i,    kind) {
    kind = item_kind[i]
    read_facts(item_text[i])
    if (kind == "call") add_common_facts(i)
    begin_page(item_names[i], summary_of(item_text[i]), item_header[i])
    if (kind == "call") put_prototypes(item_code[i])
    else put_literal(item_code[i], "")
    print ".Sh DESCRIPTION" >out
    put_text(about)
    if (member_count[i]) put_members(i, kind)
    if (kind == "opaque") put_calls(i)
    if (kind == "call" || kind == "callback") put_results(i)
    put_example(i)
    if (fact_error_count) put_errors()
    if (thread != "") { print ".Sh THREADS" >out; put_text(thread_sentence(thread)) }
    put_see_also(i)
    close(out)
}

function write_cpp_page(    i) {
    begin_page("asynq.hpp", "classes for C++: clients, servers, schedulers and inspectors", "asynq/asynq.hpp")
    print ".Sh DESCRIPTION" >out
    put_text(head["asynq/asynq.hpp"])
    print ".Bl -tag -width Ds" >out
    for (i = 1; i <= class_count; i++) {
        print ".It Vt asynq::" class[i] >out
        put_text(class_text[i])
        put_methods(i)
    }
    print ".El\n.Sh SEE ALSO\n.Xr asynq 3" >out
    close(out)
}

function put_methods(i,    m, name) {
    if (!method_count[i]) return
    print ".Bl -tag -width Ds -compact" >out
    for (m = 1; m <= method_count[i]; m++) {
        print ".It Li \"" delimiters(escape(method[i, m])) "\"" >out
        if (method_text[i, m] != "") put_text(method_text[i, m])
        name = method_call[i, m]
        if (name != "" && index(method_text[i, m], "see " name "()") == 0) print "See\n.Xr " item_name[page[name]] " 3 ." >out
    }
    print ".El" >out
}

# The first sentence, as in an index.
function summary_of(text,    first) {
    first = text
    gsub(/\n/, " ", first)
    if (first ~ /^[A-Za-z]+( [a-z]+)?: /) { if (match(first, /[.;](  *|$)/)) first = substr(first, 1, RSTART - 1) }
    else if (match(first, /[.:;](  *|$)/)) first = substr(first, 1, RSTART - 1)
    sub(/^(Returns|A|An|The) /, "", first)
    if (first !~ /^(Asynq|Redis|[A-Z][A-Z])/) first = tolower(substr(first, 1, 1)) substr(first, 2)
    return first
}

function thread_sentence(text) {
    sub(/^Thread: /, "", text)
    sub(/^any/, "any thread", text)
    return toupper(substr(text, 1, 1)) substr(text, 2)
}

function put_prototypes(code,    list, count, i) {
    count = split(code, list, ";\n")
    for (i = 1; i <= count; i++) if (list[i] != "") put_prototype(list[i])
}

function put_prototype(code,    from, type, name, arguments, i, char, depth, argument) {
    gsub(/[ \n]+/, " ", code)
    match(code, /asynq_[a-z_0-9]*\(/)
    type = substr(code, 1, RSTART - 1)
    name = substr(code, RSTART, RLENGTH - 1)
    arguments = substr(code, RSTART + RLENGTH)
    sub(/ $/, "", type)
    sub(/\)$/, "", arguments)
    print ".Ft " type "\n.Fo " name >out
    for (i = 1; i <= length(arguments) + 1; i++) {
        char = substr(arguments, i, 1)
        depth += char == "(" ? 1 : char == ")" ? -1 : 0
        if ((char == "," && !depth) || char == "") {
            sub(/^ /, "", argument)
            print ".Fa \"" argument "\"" >out
            argument = ""
        } else argument = argument char
    }
    print ".Fc" >out
}

function put_members(item, kind,    i, next_of) {
    print ".Bl -tag -width Ds" >out
    for (i = 1; i <= member_count[item]; i++) {
        if (member_lead[item, i] != "") {
            print ".El\n.Pp" >out
            put_text(member_lead[item, i])
            print ".Bl -tag -width Ds" >out
        }
        if (kind == "struct") print ".It " member_tag(member[item, i]) >out
        else print ".It Dv " constant_in(member[item, i]) >out
        # Members that follow a commented one without a gap share its text.
        next_of = i
        while (member_is_led[item, i] && next_of < member_count[item] && member_text[item, next_of + 1] == "" &&
            !member_gap[item, next_of + 1])
            print ".It " member_tag(member[item, ++next_of]) >out
        if (member_text[item, i] != "") put_text(as_sentence(member_text[item, i]))
        i = next_of
    }
    print ".El" >out
}

function member_tag(code) {
    if (code !~ /\(/) gsub(/, /, "\" , Fa \"", code)
    return "Fa \"" code "\""
}

function as_sentence(text) {
    if (text !~ /^(asynq|ASYNQ|`|"|<)/ && text !~ /^[a-z_]+_[a-z_]+/) text = toupper(substr(text, 1, 1)) substr(text, 2)
    if (text !~ /[.!?]$/) text = text "."
    return text
}

function put_calls(item,    i, count) {
    for (i = 1; i <= item_count; i++)
        if (item_kind[i] == "call" && item_code[i] ~ ("(^|[^a-z_])" item_name[item] " \\*")) {
            if (!count++) print ".Pp\nCalls:\n.Bl -tag -width Ds" >out
            put_call_names(i)
        }
    if (count) print ".El" >out
}

function put_call_names(item,    names, count, i, list) {
    count = split(item_names[item], names, " ")
    for (i = 1; i <= count; i++) list = list (i > 1 ? " , " : "") "Xr " names[i] " 3"
    print ".It " list >out
    put_text(summary_of(item_text[item]))
}

function put_results(item) {
    print ".Sh RETURN VALUES" >out
    if (results != "") { put_text(results); return }
    if (item_code[item] ~ /^void asynq/ || item_code[item] ~ /^typedef void /) print "None." >out
}

function put_errors(    i, code, text) {
    print ".Sh ERRORS\n.Bl -tag -width Ds" >out
    for (i = 1; i <= fact_error_count; i++) {
        code = fact_errors[i]
        text = as_sentence(error_text[code])
        if (reason[code] != "") text = text " " as_sentence(reason[code])
        print ".It Dv " code >out
        put_text(text)
    }
    print ".El" >out
}

# The shortest example that has one of the names; of an enum also its constants, of what no example names what uses it.
function put_example(item,    names, i, best) {
    names = item_names[item]
    if (item_kind[item] == "enum") for (i = 1; i <= member_count[item]; i++) names = names " " constant_in(member[item, i])
    best = example_with(names)
    if (best == "" && item_kind[item] != "call") best = example_with(users_of(item))
    if (best == "") return
    print ".Sh EXAMPLES" >out
    put_literal(example[best], " -offset indent")
}

function example_with(names,    name, count, i, j, best) {
    count = split(names, name, " ")
    for (i = 1; i <= example_count; i++)
        for (j = 1; j <= count; j++)
            if (has_name(example[examples[i]], name[j]))
                if (best == "" || length(example[examples[i]]) < length(example[best])) best = examples[i]
    return best
}

function has_name(text, name) { return index(text, name) && text ~ ("(^|[^A-Za-z_])" name "([^A-Za-z_]|$)") }

function users_of(item,    i, names) {
    for (i = 1; i <= item_count; i++)
        if (i != item && item_kind[i] != "macro" && has_name(item_code[i], item_name[item])) names = names item_names[i]
    return names
}

function constant_in(code) { match(code, /[A-Z_0-9]+/); return substr(code, RSTART, RLENGTH) }

function put_literal(text, offset) {
    gsub(/\\/, "\\e", text)
    sub(/\n+$/, "", text)
    gsub(/\n\./, "\n\\\\\\&.", text)
    gsub(/\n\047/, "\n\\\\\\&\047", text)
    print ".Bd -literal" offset "\n" text "\n.Ed" >out
}

function put_see_also(item,    i, names, count, word) {
    count = split(item_code[item], names, /[^A-Za-z_0-9]+/)
    for (i = 1; i <= count; i++) see[names[i]]
    if (item_kind[item] == "call") see_siblings(item)
    else if (item_kind[item] != "opaque") see_users(item)
    count = 0
    for (word in see) if (word in page && item_name[page[word]] != page_name && page[word]) sorted[++count] = item_name[page[word]] " 3"
    sorted[++count] = "asynq 3"
    for (word in see_other) sorted[++count] = word
    sort_references(count)
    print ".Sh SEE ALSO" >out
    for (i = 1; i <= count; i++)
        if (i == 1 || sorted[i] != sorted[i - 1]) word = (i == 1 ? "" : word " ,\n") ".Xr " sorted[i]
    print word >out
}

function see_siblings(item,    i, count) {
    for (i = 1; i <= item_count; i++) count += item_kind[i] == "call" && item_section[i] == item_section[item]
    if (count > 12) return
    for (i = 1; i <= item_count; i++)
        if (item_kind[i] == "call" && item_section[i] == item_section[item]) see[item_name[i]]
}

function see_users(item,    i, names, count) {
    count = split(users_of(item), names, " ")
    for (i = 1; i <= count; i++) see[names[i]]
}

# By section, then name.
function sort_references(count,    i, j, moved) {
    for (i = 2; i <= count; i++) {
        moved = sorted[i]
        for (j = i - 1; j >= 1 && sort_key(sorted[j]) > sort_key(moved); j--) sorted[j + 1] = sorted[j]
        sorted[j + 1] = moved
    }
}
function sort_key(reference,    part) { split(reference, part, " "); return part[2] tolower(part[1]) }

# ---- prose to mdoc ----

function put_text(text,    paragraphs, count, i) {
    count = split(text, paragraphs, "\n\n")
    for (i = 1; i <= count; i++) {
        if (paragraphs[i] ~ /^ +[^ ]/) { unindent(paragraphs, i); put_literal(paragraphs[i], " -offset indent") }
        else {
            if (i > 1) print ".Pp" >out
            put_prose(paragraphs[i])
        }
    }
}

function unindent(paragraphs, i) {
    sub(/^ +/, "", paragraphs[i])
    gsub(/\n    /, "\n", paragraphs[i])
}

function put_prose(text,    words, count, i, core, before, after, macro) {
    gsub(/\n/, " ", text)
    text = hide_spaces(text)
    count = split(text, words, / +/)
    line = ""
    for (i = 1; i <= count; i++) {
        core = words[i]
        before = after = ""
        if (match(core, /^[("]+/)) { before = substr(core, 1, RLENGTH); core = substr(core, RLENGTH + 1) }
        if (match(core, /(\(\)|\([1-8]\))[.,;:)!?"]*$/) && index(core, "`") != 1) {
            after = substr(core, RSTART)
            macro = index(after, ")")
            core = substr(core, 1, RSTART - 1) substr(after, 1, macro)
            after = substr(after, macro + 1)
        } else if (match(core, /[.,;:)!?"]+$/)) { after = substr(core, RSTART); core = substr(core, 1, RSTART - 1) }
        macro = macro_of(core)
        if (macro == "") {
            gsub("\001", " ", words[i])
            if (length(line) + length(words[i]) > 76) flush_line()
            line = line (line == "" ? "" : " ") escape(words[i])
            if (i == count || ends_sentence(words[i], words[i + 1])) flush_line()
        } else {
            flush_line()
            print "." (before == "" ? "" : "No \\&" delimiters(before) " Ns ") macro (after == "" ? "" : spaced(after)) >out
        }
    }
    flush_line()
}

function hide_spaces(text,    done, part) {
    while (match(text, /`[^`]*`/)) {
        part = substr(text, RSTART, RLENGTH)
        gsub(/ /, "\001", part)
        done = done substr(text, 1, RSTART - 1) part
        text = substr(text, RSTART + RLENGTH)
    }
    return done text
}

function flush_line() {
    if (line == "") return
    if (line ~ /^[.\047]/) line = "\\&" line
    print line >out
    line = ""
}

function macro_of(word,    name) {
    if (word ~ /^`.*`$/) return quoted(substr(word, 2, length(word) - 2))
    name = word
    sub(/\(.*/, "", name)
    if (word ~ /^(asynq|ASYNQ)_[A-Za-z0-9_]*(\(\))?$/) {
        if (!(name in page) && name in link_to) name = link_to[name]
        if (name in page && item_name[page[name]] != page_name && word !~ /^ASYNQ_[A-Z_0-9]+$/) {
            see[name]
            return "Xr " item_name[page[name]] " 3"
        }
        sub(/\(.*/, "", word)
        return (word ~ /^ASYNQ/ ? "Dv " : name in page && item_kind[page[name]] == "call" ? "Fn " : "Vt ") word
    }
    if (word ~ /^[a-z][a-z0-9_.-]*\([1-8]\)$/) {
        match(word, /\([1-8]\)/)
        see_other[name " " substr(word, RSTART + 1, 1)]
        return "Xr " name " " substr(word, RSTART + 1, 1)
    }
    if (word ~ /^[a-z_:]+\(\)$/) return "Fn " name
    if (word ~ /^<asynq\/[a-z.]+>$/) return "In " substr(word, 2, length(word) - 2)
    return ""
}

function quoted(text) {
    gsub("\001", " ", text)
    sub(/\(\)$/, "", text)
    if (text ~ /^[a-z_][a-z0-9_]*$/) return (text in page ? "Vt " : "Fa ") text
    gsub(/\\/, "\\e", text)
    gsub(/"/, "\\(dq", text)
    return "Ql \"" text "\""
}

function spaced(text,    i, char, result) {
    for (i = 1; i <= length(text); i++) {
        char = substr(text, i, 1)
        result = result (char == "\"" ? " Ns \\(dq" : " " char)
    }
    return result
}

function delimiters(text) { gsub(/"/, "\\(dq", text); return text }

function escape(text) { gsub(/\\/, "\\e", text); return text }
