package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// textMember names the member of a message's content that holds its text, by content type.
var textMember = map[int32]string{
	101: "content", // Text.
	106: "text",    // Text that mentions users.
	114: "text",    // A quote; the quoted message has a text of its own, which is left alone.
}

// messageText is the text of a message, and the place in the content's JSON where it stands as a JSON string.
type messageText struct {
	value      string
	start, end int
}

// findText finds the text of a message. There is none in a content type without one, nor in content that is not what
// its type asks for: a client may put any string there.
//
// It keeps the text's place instead of unmarshalling everything, so that what stands around it is never written anew:
// no number loses a digit, no member its place. (In the text itself half of a surrogate pair, which no string of Go can
// hold, becomes U+FFFD.)
func findText(contentType int32, content string) (messageText, bool) {
	member, ok := textMember[contentType]
	if !ok || !json.Valid([]byte(content)) {
		return messageText{}, false
	}
	decoder := json.NewDecoder(strings.NewReader(content))
	if brace, err := decoder.Token(); err != nil || brace != json.Delim('{') {
		return messageText{}, false
	}
	// Where a member comes twice the last one counts, as it does to OpenIM.
	var found messageText
	isText := false
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return messageText{}, false
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return messageText{}, false
		}
		if name != member {
			continue
		}
		isText = raw[0] == '"' && json.Unmarshal(raw, &found.value) == nil
		found.end = int(decoder.InputOffset())
		found.start = found.end - len(raw)
	}
	return found, isText
}

// replaceIn is the content in which the text was found, with another text in its place.
func (t messageText) replaceIn(content, replacement string) string {
	quoted, err := encodeJSON(replacement)
	if err != nil {
		panic(err) // A string always has a JSON form.
	}
	return content[:t.start] + string(quoted) + content[t.end:]
}

// wordList is the blocked words in lower case.
type wordList []string

func newWordList(words []string) wordList {
	list := make(wordList, len(words))
	for i, word := range words {
		list[i] = strings.ToLower(word)
	}
	return list
}

// foundIn tells whether the text holds one of the words, in any case, also as a part of another word.
func (l wordList) foundIn(text string) bool {
	text = strings.ToLower(text)
	for _, word := range l {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// readWords reads a words file: one word a line, without blank lines and those that begin with #.
func readWords(path string) (words []string, err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(content) {
		return nil, fmt.Errorf("%s is not UTF-8", path)
	}
	// Some editors begin a UTF-8 file with a byte order mark.
	for line := range strings.Lines(strings.TrimPrefix(string(content), "\ufeff")) {
		if word, ok := cleanWord(line); ok && !strings.HasPrefix(line, "#") {
			words = append(words, word)
		}
	}
	return words, nil
}

// cleanWord takes the white space from around a word. Nothing may be left to be a word: "" is a part of every text.
func cleanWord(word string) (string, bool) {
	word = strings.TrimSpace(word)
	return word, word != "" && utf8.ValidString(word)
}

// phoneNumber matches digits, with single spaces or hyphens between them; numbers that are too short match too.
var phoneNumber = regexp.MustCompile(`\+?[0-9](?:[ -]?[0-9])+`)

// maskPhoneNumbers replaces all but the last two digits of each number of seven digits or more.
func maskPhoneNumbers(text string) string {
	return phoneNumber.ReplaceAllStringFunc(text, func(number string) string {
		digits := 0
		for _, char := range number {
			if isDigit(char) {
				digits++
			}
		}
		if digits < 7 {
			return number
		}
		return strings.Map(func(char rune) rune {
			if !isDigit(char) {
				return char
			}
			digits--
			if digits < 2 {
				return char
			}
			return '*'
		}, number)
	})
}

func isDigit(char rune) bool {
	return '0' <= char && char <= '9'
}

// firstRunes is the first n code points of the text, or all of it.
func firstRunes(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}
