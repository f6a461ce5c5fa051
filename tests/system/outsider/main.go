// Checks and makes notes and proofs with the Go project's own packages: nothing here is the appliance's.
//
//	outsider open VKEY NOTE             print the checkpoint's size if VKEY signed NOTE
//	outsider record VKEY PROOF RECORD   check a c2sp.org/tlog-proof of a record
//	outsider extends VKEY OLD PROOF     check that checkpoint OLD is the beginning of the newer one
//	outsider sign NAME TEXT             make a key called NAME, sign TEXT, print the verifier key and the note
package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(path string) []byte {
	data, err := os.ReadFile(path)
	must(err)
	return data
}

func hash(text string) tlog.Hash {
	raw, err := base64.StdEncoding.DecodeString(text)
	must(err)
	if len(raw) != tlog.HashSize {
		must(fmt.Errorf("a hash of %d bytes", len(raw)))
	}
	var out tlog.Hash
	copy(out[:], raw)
	return out
}

// open returns size and root of a checkpoint that vkey signed.
func open(vkey string, signed []byte) (int64, tlog.Hash) {
	verifier, err := note.NewVerifier(vkey)
	must(err)
	opened, err := note.Open(signed, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		must(fmt.Errorf("not a checkpoint of %s", verifier.Name()))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	return size, hash(lines[2])
}

func split(proof []byte) ([]string, []byte) {
	head, rest, found := bytes.Cut(proof, []byte("\n\n"))
	if !found {
		must(fmt.Errorf("no empty line in the proof"))
	}
	return strings.Split(string(head), "\n"), rest
}

func hashes(lines []string) []tlog.Hash {
	var out []tlog.Hash
	for _, line := range lines {
		out = append(out, hash(line))
	}
	return out
}

func main() {
	arguments := os.Args[1:]
	switch arguments[0] {
	case "open":
		size, _ := open(arguments[1], read(arguments[2]))
		fmt.Println(size)
	case "record":
		lines, signed := split(read(arguments[2]))
		size, root := open(arguments[1], signed)
		if lines[0] != "c2sp.org/tlog-proof@v1" {
			must(fmt.Errorf("not a tlog-proof: %s", lines[0]))
		}
		index, err := strconv.ParseInt(strings.TrimPrefix(lines[1], "index "), 10, 64)
		must(err)
		leaf := tlog.RecordHash(read(arguments[3]))
		must(tlog.CheckRecord(hashes(lines[2:]), size, root, index, leaf))
		fmt.Println(index)
	case "extends":
		old, oldRoot := open(arguments[1], read(arguments[2]))
		lines, signed := split(read(arguments[3]))
		size, root := open(arguments[1], signed)
		must(tlog.CheckTree(hashes(lines[1:]), size, root, old, oldRoot))
		fmt.Println(old, size)
	case "sign":
		skey, vkey, err := note.GenerateKey(rand.Reader, arguments[1])
		must(err)
		signer, err := note.NewSigner(skey)
		must(err)
		signed, err := note.Sign(&note.Note{Text: string(read(arguments[2]))}, signer)
		must(err)
		fmt.Printf("%s\n%s", vkey, signed)
	}
}
