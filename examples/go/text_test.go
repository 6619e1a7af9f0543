package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFindText(t *testing.T) {
	for _, test := range []struct {
		name        string
		contentType int32
		content     string
		want        string
		ok          bool
	}{
		{"text", 101, `{"content":"hi"}`, "hi", true},
		{"mention", 106, `{"text":"hi","atUserList":["u2"]}`, "hi", true},
		{"quote", 114, `{"quoteMessage":{"text":"old","textElem":{"content":"old"}},"text":"new"}`, "new", true},
		{"empty", 101, `{"content":""}`, "", true},
		{"spaces", 101, " {\n \"content\" : \"hi\" } \n", "hi", true},
		{"escapes", 101, `{"\u0063ontent":"a\u0000\n\u00e9\ud83d\ude00"}`, "a\x00\né😀", true},
		{"lone surrogate", 101, `{"content":"a\ud800b"}`, "a\ufffdb", true},
		{"twice", 101, `{"content":"one","content":"two"}`, "two", true},
		{"twice, then no text", 101, `{"content":"one","content":2}`, "", false},
		{"other type", 110, `{"content":"hi","text":"hi"}`, "", false},
		{"other member", 101, `{"text":"hi"}`, "", false},
		{"only in the quote", 114, `{"quoteMessage":{"text":"old"}}`, "", false},
		{"not a string", 101, `{"content":5}`, "", false},
		{"null", 101, `{"content":null}`, "", false},
		{"an array", 101, `["content","hi"]`, "", false},
		{"a string", 101, `"hi"`, "", false},
		{"no JSON", 101, `hello`, "", false},
		{"nothing", 101, ``, "", false},
		{"half", 101, `{"content":"hi"`, "", false},
		{"more after it", 101, `{"content":"hi"} {}`, "", false},
		{"too deep", 101, `{"content":"hi","x":` + strings.Repeat("[", 100_000), "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			text, ok := findText(test.contentType, test.content)
			if ok != test.ok || ok && text.value != test.want {
				t.Errorf("got %q, %t; want %q, %t", text.value, ok, test.want, test.ok)
			}
		})
	}
}

func TestReplaceIn(t *testing.T) {
	for _, test := range []struct {
		name, content, replacement, want string
	}{
		{
			"numbers keep their digits",
			`{"quoteMessage":{"seq":12345678901234567890,"x":1.10,"y":1e2},"text":"a","z":-0}`, "b",
			`{"quoteMessage":{"seq":12345678901234567890,"x":1.10,"y":1e2},"text":"b","z":-0}`,
		},
		{"spaces stay", "{ \"text\" :\t\"a\"\n, \"z\":[ ] }", "b", "{ \"text\" :\t\"b\"\n, \"z\":[ ] }"},
		{"what JSON escapes", `{"text":"a"}`, "\"\\\x00<&>é", `{"text":"\"\\\u0000<&>é"}`},
		{"the last of two", `{"text":"a","text":"a"}`, "b", `{"text":"a","text":"b"}`},
		{"escapes before it", `{"é\ud83d\ude00":"\u00e9","text":"\u0061"}`, "b", `{"é\ud83d\ude00":"\u00e9","text":"b"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			text, ok := findText(106, test.content)
			if !ok {
				t.Fatal("no text found")
			}
			if got := text.replaceIn(test.content, test.replacement); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

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
