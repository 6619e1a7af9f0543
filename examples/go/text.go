package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

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

// foundInContent tells whether a client could show one of the words: one of the strings in the content of a message
// holds it, or the content is no JSON and holds it itself. The content type says nothing that could be trusted.
func (l wordList) foundInContent(content string) bool {
	return !json.Valid([]byte(content)) && l.foundIn(content) || l.foundInStrings(content)
}

// foundInStrings looks into the strings of a JSON text, and of the JSON that they hold themselves. A string is shorter
// than its JSON, so this comes to an end.
func (l wordList) foundInStrings(text string) bool {
	for found := range jsonStrings(text) {
		if l.foundIn(found.value) || l.foundInStrings(found.value) {
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

// maskContent masks the phone numbers in the text of a message: in each string that is named "content" or "text",
// wherever it stands. Everything else, such as users' IDs, stays byte for byte. So does content that is no JSON object:
// OpenIM takes nothing else in its place.
func maskContent(content string) string {
	if !isObject(content) {
		return content
	}
	var masked strings.Builder
	end := 0
	for found := range jsonStrings(content) {
		// Clients read names as Go does, in any case.
		if !strings.EqualFold(found.name, "content") && !strings.EqualFold(found.name, "text") {
			continue
		}
		mask := maskPhoneNumbers
		if isObject(found.value) { // The content of a quoted message can stand here.
			mask = maskContent
		}
		if value := mask(found.value); value != found.value {
			masked.WriteString(content[end:found.start])
			masked.Write(quote(value))
			end = found.end
		}
	}
	return masked.String() + content[end:]
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
