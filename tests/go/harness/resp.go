package harness

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Command is one command of a client, as it stands on the wire.
type Command struct {
	Raw  []byte
	Args []string
	Kind string // the name of a script of ours, or the command's own, such as "SELECT" or "CLIENT ID"
}

// readLine reads a line and appends it to raw; the answer is without its end.
func readLine(from *bufio.Reader, raw *[]byte) (string, error) {
	line, err := from.ReadString('\n')
	if err != nil {
		return "", err
	}
	*raw = append(*raw, line...)
	return strings.TrimRight(line, "\r\n"), nil
}

func readBulk(from *bufio.Reader, raw *[]byte, length int) (string, error) {
	text := make([]byte, length+2)
	if _, err := io.ReadFull(from, text); err != nil {
		return "", err
	}
	*raw = append(*raw, text...)
	return string(text[:length]), nil
}

func readCount(from *bufio.Reader, raw *[]byte, kind byte) (int, error) {
	line, err := readLine(from, raw)
	if err != nil {
		return 0, err
	}
	if len(line) == 0 || line[0] != kind {
		return 0, fmt.Errorf("%q where %q was expected", line, kind)
	}
	return strconv.Atoi(line[1:])
}

// ReadCommand reads one command; names are the names of our scripts by SHA-1.
func ReadCommand(from *bufio.Reader, names map[string]string) (*Command, error) {
	command := &Command{}
	count, err := readCount(from, &command.Raw, '*')
	for ; err == nil && count > 0; count-- {
		var length int
		var word string
		if length, err = readCount(from, &command.Raw, '$'); err == nil {
			word, err = readBulk(from, &command.Raw, length)
			command.Args = append(command.Args, word)
		}
	}
	command.Kind = kindOf(command.Args, names)
	return command, err
}

func kindOf(args []string, names map[string]string) string {
	if len(args) == 0 {
		return ""
	}
	kind := strings.ToUpper(args[0])
	switch {
	case kind == "EVALSHA" && len(args) > 1 && names[args[1]] != "":
		return names[args[1]]
	case (kind == "CLIENT" || kind == "SCRIPT" || kind == "PUBSUB" || kind == "CLUSTER") && len(args) > 1:
		return kind + " " + strings.ToUpper(args[1])
	}
	return kind
}

// ReadReply reads one reply of Redis. isMessage: it is one of a subscription, not an answer to a command.
func ReadReply(from *bufio.Reader) (raw []byte, isMessage bool, err error) {
	words, err := readValue(from, &raw)
	return raw, len(words) > 0 && words[0] == "message" && raw[0] == '*', err
}

// readValue reads a value; words are the bulk strings in it.
func readValue(from *bufio.Reader, raw *[]byte) (words []string, err error) {
	line, err := readLine(from, raw)
	if err != nil {
		return nil, err
	}
	if line == "" {
		return nil, fmt.Errorf("an empty line where a reply was expected")
	}
	length, _ := strconv.Atoi(line[1:])
	switch {
	case line[0] == '$' && length >= 0:
		word, err := readBulk(from, raw, length)
		return []string{word}, err
	case line[0] == '*':
		for ; length > 0; length-- {
			inner, err := readValue(from, raw)
			if err != nil {
				return nil, err
			}
			words = append(words, inner...)
		}
	}
	return words, nil
}
