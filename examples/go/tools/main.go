// Command tools generates ../gen from the contract, with Go alone: it compiles the .proto files as protoc would and
// hands them to the two plugins that everybody uses, in the versions that go.mod here names. Where protoc and
// these plugins are installed, this does the same:
//
//	protoc -I ../../proto --go_out=gen --go_opt=paths=source_relative \
//		--go-grpc_out=gen --go-grpc_opt=paths=source_relative ../../proto/openim/policy/v1/*.proto
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

const (
	contract  = "../../../proto"
	pattern   = "openim/policy/v1/*.proto"
	generated = "../gen"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("generate: ")
	if err := generate(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func generate(ctx context.Context) error {
	request, err := compile(ctx)
	if err != nil {
		return err
	}
	// A file that the contract no longer has must not stay behind.
	if err := os.RemoveAll(generated); err != nil {
		return err
	}
	for _, plugin := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		if err := run(ctx, plugin, request); err != nil {
			return fmt.Errorf("%s: %w", plugin, err)
		}
	}
	return nil
}

// compile reads the contract into what protoc would tell a plugin.
func compile(ctx context.Context) ([]byte, error) {
	paths, err := filepath.Glob(filepath.Join(contract, pattern))
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no %s in %s", pattern, contract)
	}
	var names []string
	for _, path := range paths {
		name, err := filepath.Rel(contract, path)
		if err != nil {
			return nil, err
		}
		names = append(names, filepath.ToSlash(name))
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: []string{contract}}),
		SourceInfoMode: protocompile.SourceInfoStandard, // The contract's comments become those of the Go code.
	}
	files, err := compiler.Compile(ctx, names...)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		// The contract's go_package names the package, policyv1; where it stands is this module's business.
		Parameter: proto.String("paths=source_relative"),
		ProtoFile: inOrder(files),
	})
}

// inOrder lists the files and what they import, each after its imports: plugins rely on it.
func inOrder(files linker.Files) (ordered []*descriptorpb.FileDescriptorProto) {
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		ordered = append(ordered, protodesc.ToFileDescriptorProto(file))
	}
	for _, file := range files {
		add(file)
	}
	return ordered
}

// run lets a plugin do its work and writes the files that it answers with.
func run(ctx context.Context, plugin string, request []byte) error {
	command := exec.CommandContext(ctx, "go", "tool", plugin)
	command.Stdin = bytes.NewReader(request)
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return err
	}
	response := new(pluginpb.CodeGeneratorResponse)
	if err := proto.Unmarshal(output, response); err != nil {
		return err
	}
	if response.Error != nil {
		return errors.New(response.GetError())
	}
	for _, file := range response.File {
		path := filepath.Join(generated, filepath.FromSlash(file.GetName()))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
