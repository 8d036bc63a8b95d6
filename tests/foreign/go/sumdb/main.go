// Command sumdb verifies a pack with the code of Go's checksum database,
// golang.org/x/mod/sumdb/{note,tlog}: the log's signature, every tile, every entry, the proofs.
// That code knows no cosignatures and passes over them, as signed-note demands of it.
package main

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"releaseledger.org/foreign/pack"
)

func main() { pack.Run("sumdb", verifyLog, verifyPack) }

type tree struct {
	origin string
	size   int64
	root   tlog.Hash
}

func verifyLog(folder pack.Folder) (string, error) {
	now, err := open(folder, "checkpoint")
	if err != nil {
		return "", err
	}
	older, err := open(folder, "older")
	if err != nil {
		return "", err
	}
	if err := continues(folder, older, now); err != nil {
		return "", err
	}
	if err := entries(folder, now); err != nil {
		return "", err
	}
	proofs, err := proofs(folder)
	said := "%d entries of %s, each in its tile; the tree of %d continued; %d proofs"
	return fmt.Sprintf(said, now.size, now.origin, older.size, proofs), err
}

func verifyPack(folder pack.Folder) (string, error) {
	now, err := open(folder, "checkpoint")
	if err != nil {
		return "", err
	}
	if err := entries(folder, now); err != nil {
		return "", err
	}
	proofs, err := proofs(folder)
	said := "%d entries of %s, each in its tile; %d proofs"
	return fmt.Sprintf(said, now.size, now.origin, proofs), err
}

// open reads a checkpoint that the log has signed.
func open(folder pack.Folder, name string) (tree, error) {
	content, err := folder.Read(name)
	if err != nil {
		return tree{}, err
	}
	return read(folder, name, content)
}

func read(folder pack.Folder, name string, content []byte) (tree, error) {
	vkey, err := folder.Line("trust/log.vkey")
	if err != nil {
		return tree{}, err
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return tree{}, pack.Refuse("trust/log.vkey: %v", err)
	}
	opened, err := note.Open(content, note.VerifierList(verifier))
	if err != nil {
		return tree{}, pack.Refuse("%s: %v", name, err)
	}
	var found tree
	var root string
	if _, err := fmt.Sscanf(opened.Text, "%s\n%d\n%s\n", &found.origin, &found.size, &root); err != nil {
		return tree{}, pack.Refuse("%s is no checkpoint: %v", name, err)
	}
	if found.root, err = tlog.ParseHash(root); err != nil || found.origin != verifier.Name() {
		return tree{}, pack.Refuse("%s is not a checkpoint of %s", name, verifier.Name())
	}
	return found, nil
}

// continues checks that the newer tree only added to the older one.
func continues(folder pack.Folder, older, now tree) error {
	hashes, err := folder.Hashes("consistency")
	if err != nil {
		return err
	}
	proof := make(tlog.TreeProof, len(hashes))
	for i, hash := range hashes {
		proof[i] = tlog.Hash(hash)
	}
	if err := tlog.CheckTree(proof, now.size, now.root, older.size, older.root); err != nil {
		return pack.Refuse("the tree of %d does not continue the one of %d: %v", now.size, older.size, err)
	}
	return nil
}

// entries reads every leaf hash through its tiles up to the root, and compares it with the entry.
// tlog.TreeHash alone reads only the right edge and passes a log whose older tiles were altered.
func entries(folder pack.Folder, now tree) error {
	reader := tlog.TileHashReader(tlog.Tree{N: now.size, Hash: now.root}, tiles{folder})
	for first := int64(0); first < now.size; first += pack.Width {
		width := min(pack.Width, now.size-first)
		found, err := folder.Bundle(first/pack.Width, width)
		if err != nil {
			return err
		}
		indexes := make([]int64, width)
		for i := range indexes {
			indexes[i] = tlog.StoredHashIndex(0, first+int64(i))
		}
		hashes, err := reader.ReadHashes(indexes)
		if err != nil {
			return pack.Refuse("the tiles above entry %d: %v", first, err)
		}
		for i, hash := range hashes {
			if tlog.RecordHash(found[i]) != hash {
				return pack.Refuse("entry %d is not the one in the tree", first+int64(i))
			}
		}
	}
	return nil
}

// tiles gives the pack's tiles to the reader, which trusts none of them.
type tiles struct{ folder pack.Folder }

func (t tiles) Height() int { return pack.Height }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(wanted))
	for i, tile := range wanted {
		var err error
		if found[i], err = t.folder.Tile(tile); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// proofs checks that every disclosed leaf is in the tree of its proof's checkpoint.
func proofs(folder pack.Folder) (int, error) {
	names, err := folder.Names("events/*.tlog-proof")
	for _, name := range names {
		if err := proof(folder, name); err != nil {
			return 0, err
		}
	}
	return len(names), err
}

func proof(folder pack.Folder, name string) error {
	content, err := folder.Read(name)
	if err != nil {
		return err
	}
	leaf, err := folder.Read(strings.TrimSuffix(name, "tlog-proof") + "leaf")
	if err != nil {
		return err
	}
	head, checkpoint, _ := bytes.Cut(content, []byte("\n\n"))
	signed, err := read(folder, name, checkpoint)
	if err != nil {
		return err
	}
	lines := strings.Split(string(head), "\n")
	if len(lines) < 2 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return pack.Refuse("%s is no tlog-proof", name)
	}
	var index int64
	if _, err := fmt.Sscanf(lines[1], "index %d", &index); err != nil {
		return pack.Refuse("%s has no index", name)
	}
	path := make(tlog.RecordProof, len(lines)-2)
	for i, line := range lines[2:] {
		if path[i], err = tlog.ParseHash(line); err != nil {
			return pack.Refuse("%s: %v", name, err)
		}
	}
	if err := tlog.CheckRecord(path, signed.size, signed.root, index, tlog.RecordHash(leaf)); err != nil {
		return pack.Refuse("%s: %v", name, err)
	}
	return nil
}
