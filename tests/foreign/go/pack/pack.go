// Package pack reads the files of an evidence pack and ends a verifier with the exit codes of
// release-ledger: 0 good, 9 refused, 1 could not look. It verifies nothing itself.
package pack

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Width is how many hashes or entries a full tile holds.
const Width = 256

// Height is the height of the tiles in C2SP tlog-tiles.
const Height = 8

// Folder is a log, or an evidence pack, unpacked.
type Folder string

// Refused says what does not hold.
type Refused struct{ Why string }

func (r Refused) Error() string { return r.Why }

// Refuse makes an error that ends the program with 9.
func Refuse(format string, args ...any) error { return Refused{fmt.Sprintf(format, args...)} }

// Read reads a file; one that is missing is refused, since a pack is to be whole.
func (f Folder) Read(name string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(string(f), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Refuse("%s is missing", name)
	}
	return content, err
}

// Line reads a file of one line.
func (f Folder) Line(name string) (string, error) {
	content, err := f.Read(name)
	return strings.TrimSpace(string(content)), err
}

// Names lists the files of one kind, which must not be none.
func (f Folder) Names(pattern string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(string(f), pattern))
	if err == nil && len(found) == 0 {
		err = Refuse("there is no %s", pattern)
	}
	for i := range found {
		found[i], _ = filepath.Rel(string(f), found[i])
	}
	return found, err
}

// Tile reads a tile, or at level -1 a bundle, where it lies in C2SP tlog-tiles.
func (f Folder) Tile(tile tlog.Tile) ([]byte, error) {
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", tile.H), "tile/", 1)
	content, err := f.Read(strings.Replace(path, "tile/data/", "tile/entries/", 1))
	if err == nil && tile.L >= 0 && len(content) != tile.W*tlog.HashSize {
		err = Refuse("%s has %d bytes and should have %d", path, len(content), tile.W*tlog.HashSize)
	}
	return content, err
}

// Bundle reads the entries of a bundle.
func (f Folder) Bundle(number, width int64) ([][]byte, error) {
	rest, err := f.Tile(tlog.Tile{H: Height, L: -1, N: number, W: int(width)})
	if err != nil {
		return nil, err
	}
	entries := make([][]byte, 0, width)
	for len(rest) > 0 {
		if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
			return nil, Refuse("bundle %d ends inside an entry", number)
		}
		end := 2 + int(binary.BigEndian.Uint16(rest))
		entries, rest = append(entries, rest[2:end]), rest[end:]
	}
	if int64(len(entries)) != width {
		return nil, Refuse("bundle %d has %d entries and should have %d", number, len(entries), width)
	}
	return entries, nil
}

// Hashes reads hashes in base64, a line each.
func (f Folder) Hashes(name string) ([][]byte, error) {
	content, err := f.Read(name)
	if err != nil {
		return nil, err
	}
	var hashes [][]byte
	lines := bufio.NewScanner(strings.NewReader(string(content)))
	for lines.Scan() {
		hash, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil || len(hash) != tlog.HashSize {
			return nil, Refuse("%s holds a line that is no hash", name)
		}
		hashes = append(hashes, hash)
	}
	return hashes, lines.Err()
}

// Run runs a verifier over the folder that the command line names, and exits. An evidence pack has
// no older checkpoint, and -pack says so: what should be there and is not must never pass.
func Run(name string, verifyLog, verifyPack func(Folder) (string, error)) {
	isPack := flag.Bool("pack", false, "an evidence pack, which has no older checkpoint")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintf(os.Stderr, "usage: %s [-pack] FOLDER\n", name)
		os.Exit(2)
	}
	verify := verifyLog
	if *isPack {
		verify = verifyPack
	}
	said, err := verify(Folder(flag.Arg(0)))
	var refused Refused
	switch {
	case errors.As(err, &refused):
		fmt.Printf("%s: refused: %s\n", name, refused.Why)
		os.Exit(9)
	case err != nil:
		fmt.Fprintf(os.Stderr, "%s: could not look: %v\n", name, err)
		os.Exit(1)
	}
	fmt.Printf("%s: good: %s\n", name, said)
}
