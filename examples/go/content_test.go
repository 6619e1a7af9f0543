package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// messages are those that all the examples are tested with.
func messages(t *testing.T) (table struct {
	Words  []string
	Filter []struct {
		Case, Content string
		Denied        bool
	}
	Mask []struct {
		Case, Content string
		Masked        *string
	}
}) {
	text, err := os.ReadFile("../content.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &table); err != nil {
		t.Fatal(err)
	}
	if len(table.Filter) == 0 || len(table.Mask) == 0 {
		t.Fatal("no messages")
	}
	return table
}

func TestFoundInContent(t *testing.T) {
	table := messages(t)
	words := newWordList(table.Words)
	for _, test := range table.Filter {
		if got := words.foundInContent(test.Content); got != test.Denied {
			t.Errorf("%s: got %t for %s", test.Case, got, test.Content)
		}
	}
}

func TestMaskContent(t *testing.T) {
	for _, test := range messages(t).Mask {
		want := test.Content
		if test.Masked != nil {
			want = *test.Masked
		}
		if got := maskContent(test.Content); got != want {
			t.Errorf("%s: got %s, want %s", test.Case, got, want)
		}
	}
}

func TestContentThatIsHardToRead(t *testing.T) {
	words := newWordList([]string{"spam"})
	for name, content := range map[string]string{
		"too deep":     strings.Repeat("[", 100_000) + "spam",
		"very deep":    `{"x":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `,"content":"\u0073pam"}`,
		"many escapes": `{"content":"` + strings.Repeat(`\n`, 1_000_000) + `spam"}`,
		"many strings": `[` + strings.Repeat(`"",`, 100_000) + `"spam"]`,
		"many quotes":  `{"content":"` + strings.Repeat(`\"`, 1_000_000) + `spam"}`,
	} {
		if !words.foundInContent(content) {
			t.Errorf("%s: the word is not found", name)
		}
	}
	if got := maskContent(`{"content":"5550100 \ud800"}`); got != "{\"content\":\"*****00 \ufffd\"}" {
		t.Errorf("half of a surrogate pair: got %s", got)
	}
	if words.foundInContent(`"` + strings.Repeat(`\"`, 1_000_000)) { // A string without an end, read once.
		t.Error("a word is found where there is none")
	}
}
