package main

import (
	"encoding/json"
	"iter"
	"strings"
)

// jsonString is a string in a JSON text, but not the name of a member.
type jsonString struct {
	name       string // The name of the member whose value it is; "" in an array.
	value      string // Half of a surrogate pair, which no string of Go can hold, is U+FFFD here.
	start, end int    // Where it stands, with its quotes.
}

// jsonStrings yields the strings of a JSON text in their order, at any depth. A name that is there twice hides none of
// them, as it would in a map. What is no JSON has those that stand before the mistake.
func jsonStrings(text string) iter.Seq[jsonString] {
	return func(yield func(jsonString) bool) {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber() // A float64 cannot hold every number.
		name := ""
		for {
			start := int(decoder.InputOffset())
			token, err := decoder.Token()
			if err != nil {
				return
			}
			end := int(decoder.InputOffset())
			value, isString := token.(string)
			if isString && strings.HasPrefix(strings.TrimLeft(text[end:], " \t\r\n"), ":") {
				name = value
				continue
			}
			if isString {
				start += strings.IndexByte(text[start:], '"') // From behind the comma or colon before it.
				if !yield(jsonString{name, value, start, end}) {
					return
				}
			}
			name = ""
		}
	}
}

// isObject tells whether a text is a JSON object.
func isObject(text string) bool {
	return strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{") && json.Valid([]byte(text))
}

// quote is the JSON of a string.
func quote(value string) []byte {
	quoted, err := encodeJSON(value)
	if err != nil {
		panic(err) // A string always has a JSON form.
	}
	return quoted
}
