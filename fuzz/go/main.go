// Command main reads JSON as OpenIM does, with Go's encoding/json, and says what it has read.
//
// The first line of its input is the types: for each a list of fields. Every other line is a case, the place of a type
// and a body in base64, and is answered by one line: whether Go takes the body, whether it has names of no field, whether
// it has two names of one field, and the values of its fields.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A field of a type. Where servers have several names for it, Go gets a struct field for each.
type field struct {
	Names  []string `json:"names"`
	Kind   string   `json:"kind"`
	Label  string   `json:"label"`
	Fields []field  `json:"fields"`
}

type answer struct {
	Ok      bool           `json:"ok"`
	Error   string         `json:"error,omitempty"`
	Unknown bool           `json:"unknown"`
	Twice   bool           `json:"twice"`
	Value   map[string]any `json:"value"`
}

// A codePoint is a number, or a string of the one code point with that number.
type codePoint int32

func (c *codePoint) UnmarshalJSON(raw []byte) error {
	if raw[0] != '"' {
		return json.Unmarshal(raw, (*int32)(c))
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return err
	}
	letter, size := utf8.DecodeRuneInString(text)
	if size == 0 || size != len(text) {
		return errors.New("not one code point")
	}
	*c = codePoint(letter)
	return nil
}

var scalars = map[string]reflect.Type{
	"bool":       reflect.TypeFor[bool](),
	"int32":      reflect.TypeFor[int32](),
	"int64":      reflect.TypeFor[int64](),
	"uint32":     reflect.TypeFor[uint32](),
	"code_point": reflect.TypeFor[codePoint](),
	"string":     reflect.TypeFor[string](),
}

// Whether a field is neither a pointer nor a slice nor a map.
func (f field) isValue() bool {
	_, ok := scalars[f.Kind]
	return ok && f.Label == "plain" && len(f.Names) == 1
}

// The Go type of a field. A pointer, slice or map, so that what did not come can be told; but a plain field of one name is
// the value itself, as in OpenIM: null leaves it as it is.
func (f field) goType() reflect.Type {
	single, ok := scalars[f.Kind]
	if !ok {
		single = reflect.PointerTo(structOf(f.Fields))
	}
	switch f.Label {
	case "repeated":
		return reflect.SliceOf(single)
	case "map":
		return reflect.MapOf(reflect.TypeFor[string](), single)
	}
	if ok && !f.isValue() {
		return reflect.PointerTo(single)
	}
	return single
}

func structOf(fields []field) reflect.Type {
	var members []reflect.StructField
	for at, f := range fields {
		for nth, name := range f.Names {
			members = append(members, reflect.StructField{
				Name: fmt.Sprintf("F%d_%d", at, nth),
				Type: f.goType(),
				Tag:  reflect.StructTag(fmt.Sprintf("json:%q", name)),
			})
		}
	}
	return reflect.StructOf(members)
}

// What has been read into a struct, without what is the same as nothing.
func (a *answer) object(fields []field, value reflect.Value) map[string]any {
	out := map[string]any{}
	at := 0
	for _, f := range fields {
		var came []reflect.Value
		for range f.Names {
			if member := value.Field(at); f.isValue() || !member.IsNil() {
				came = append(came, member)
			}
			at++
		}
		if len(came) == 0 {
			continue
		}
		a.Twice = a.Twice || len(came) > 1
		switch value := came[0]; f.Label {
		case "plain":
			if value = reflect.Indirect(value); !value.IsZero() {
				out[f.Names[0]] = a.single(f, value)
			}
		case "repeated":
			list := []any{}
			for at := range value.Len() {
				list = append(list, a.single(f, value.Index(at)))
			}
			if len(list) > 0 {
				out[f.Names[0]] = list
			}
		case "map":
			entries := map[string]any{}
			for _, key := range value.MapKeys() {
				entries[key.String()] = a.single(f, value.MapIndex(key))
			}
			out[f.Names[0]] = entries
		default:
			if f.Fields == nil {
				value = value.Elem()
			}
			out[f.Names[0]] = a.single(f, value)
		}
	}
	return out
}

func (a *answer) single(f field, value reflect.Value) any {
	if f.Fields == nil {
		return value.Interface()
	}
	if value.IsNil() {
		return nil
	}
	return a.object(f.Fields, value.Elem())
}

func read(fields []field, goType reflect.Type, body []byte) answer {
	value := reflect.New(goType)
	if err := json.Unmarshal(body, value.Interface()); err != nil {
		return answer{Error: err.Error()}
	}
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	a := answer{Ok: true, Unknown: strict.Decode(reflect.New(goType).Interface()) != nil}
	a.Value = a.object(fields, value.Elem())
	return a
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	line, err := in.ReadBytes('\n')
	if err != nil {
		log.Fatal(err)
	}
	var types [][]field
	if err := json.Unmarshal(line, &types); err != nil {
		log.Fatal(err)
	}
	var goTypes []reflect.Type
	for _, fields := range types {
		goTypes = append(goTypes, structOf(fields))
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		place, encoded, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		at, err := strconv.Atoi(place)
		if err != nil {
			log.Fatal(err)
		}
		body, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			log.Fatal(err)
		}
		answered, err := json.Marshal(read(types[at], goTypes[at], body))
		if err != nil {
			log.Fatal(err)
		}
		out.Write(answered)
		out.WriteByte('\n')
		out.Flush()
	}
}
