package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestMaskPhoneNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"":                                "",
		"call +86 138-0013-8000 now":      "call +** ***-****-**00 now",
		"room 1234":                       "room 1234",
		"123456":                          "123456",
		"1234567":                         "*****67",
		"1 2 3 4 5 6 7":                   "* * * * * 6 7",
		"12  34567":                       "12  34567",
		"1234567 and 12-34-56-78":         "*****67 and **-**-**-78",
		"+1234567+7654321":                "+*****67+*****21",
		"+-1234567-":                      "+-*****67-",
		"١٢٣٤٥٦٧٨":                        "١٢٣٤٥٦٧٨",
		"тел. 1234567, позвони":           "тел. *****67, позвони",
		strings.Repeat("1", 1_000_000):    strings.Repeat("*", 999_998) + "11",
		strings.Repeat("1 - ", 100_000):   strings.Repeat("1 - ", 100_000),
		"\x00" + "1234567" + "\U0010ffff": "\x00" + "*****67" + "\U0010ffff",
	} {
		if got := maskPhoneNumbers(text); got != want {
			t.Errorf("%.40q: got %.40q, want %.40q", text, got, want)
		}
	}
}

func TestWordList(t *testing.T) {
	words := newWordList([]string{"Spam", "ЖУК", "鸟"})
	for text, want := range map[string]bool{
		"":             false,
		"ham":          false,
		"spa m":        false,
		"SPAM":         true,
		"antispammers": true,
		"жуки":         true,
		"小鸟":           true,
	} {
		if got := words.foundIn(text); got != want {
			t.Errorf("%q: got %t, want %t", text, got, want)
		}
	}
	if newWordList(nil).foundIn("spam") {
		t.Error("a list without words found one")
	}
}

func TestReadWords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "words")
	write := func(content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	write("\ufeffspam\r\n\n# a comment\n   \n two words \nжук")
	words, err := readWords(path)
	if want := []string{"spam", "two words", "жук"}; err != nil || !slices.Equal(words, want) {
		t.Errorf("got %q, %v; want %q", words, err, want)
	}

	write("spam\n\xff\n")
	if _, err := readWords(path); err == nil || !strings.Contains(err.Error(), "not UTF-8") {
		t.Errorf("got %v for a file that is not UTF-8", err)
	}
	if _, err := readWords(path + ".missing"); err == nil {
		t.Error("no error for a file that is not there")
	}
}

func TestFirstRunes(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"ab", "ab"},
		{"abc", "abc"},
		{"abcd", "abc"},
		{"дом😀😀", "дом"},
		{"😀😀😀😀", "😀😀😀"},
	} {
		if got := firstRunes(test.text, 3); got != test.want {
			t.Errorf("%q: got %q, want %q", test.text, got, test.want)
		}
	}
}
