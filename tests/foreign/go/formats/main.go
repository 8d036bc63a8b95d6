// Command formats verifies a pack with github.com/transparency-dev/formats and merkle: the log's
// signature and its witnesses' under the pack's policy, tlog-proofs, consistency, and the tree made
// again from the entries, with every hash of every tile compared on the way.
package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/compact"
	mproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"releaseledger.org/foreign/pack"
)

func main() { pack.Run("formats", verifyLog, verifyPack) }

// trust is whose signatures a checkpoint must have: the log's and every witness's.
type trust struct {
	log       note.Verifier
	witnesses []note.Verifier
}

func verifyLog(folder pack.Folder) (string, error) {
	keys, err := trusted(folder)
	if err != nil {
		return "", err
	}
	now, err := keys.open(folder, "checkpoint")
	if err != nil {
		return "", err
	}
	older, err := keys.open(folder, "older")
	if err != nil {
		return "", err
	}
	if err := continues(folder, older, now); err != nil {
		return "", err
	}
	shelf := &shelf{folder: folder, size: int64(now.Size), tiles: map[tlog.Tile][]byte{}}
	if err := rebuild(folder, now, shelf); err != nil {
		return "", err
	}
	proofs, err := keys.proofs(folder)
	said := "%d entries of %s make the root again; cosigned by %d; the tree of %d continued; %d proofs"
	return fmt.Sprintf(said, now.Size, now.Origin, len(keys.witnesses), older.Size, proofs), err
}

func verifyPack(folder pack.Folder) (string, error) {
	keys, err := trusted(folder)
	if err != nil {
		return "", err
	}
	now, err := keys.open(folder, "checkpoint")
	if err != nil {
		return "", err
	}
	if err := rebuild(folder, now, nil); err != nil {
		return "", err
	}
	proofs, err := keys.proofs(folder)
	said := "%d entries of %s make the root again; cosigned by %d; %d proofs"
	return fmt.Sprintf(said, now.Size, now.Origin, len(keys.witnesses), proofs), err
}

func trusted(folder pack.Folder) (trust, error) {
	vkey, err := folder.Line("trust/log.vkey")
	if err != nil {
		return trust{}, err
	}
	var keys trust
	if keys.log, err = note.NewVerifier(vkey); err != nil {
		return trust{}, pack.Refuse("trust/log.vkey: %v", err)
	}
	names, err := folder.Names("trust/witnesses/*.vkey")
	for _, name := range names {
		vkey, err := folder.Line(name)
		if err != nil {
			return trust{}, err
		}
		witness, err := fnote.NewVerifierForCosignatureV1(vkey)
		if err != nil {
			return trust{}, pack.Refuse("%s: %v", name, err)
		}
		keys.witnesses = append(keys.witnesses, witness)
	}
	return keys, err
}

func (t trust) open(folder pack.Folder, name string) (*log.Checkpoint, error) {
	content, err := folder.Read(name)
	if err != nil {
		return nil, err
	}
	return t.read(name, content)
}

func (t trust) read(name string, content []byte) (*log.Checkpoint, error) {
	found, _, opened, err := log.ParseCheckpoint(content, t.log.Name(), t.log, t.witnesses...)
	if err != nil {
		return nil, pack.Refuse("%s: %v", name, err)
	}
	signed := map[string]bool{}
	for _, each := range opened.Sigs {
		signed[each.Name] = true
	}
	for _, witness := range t.witnesses {
		if !signed[witness.Name()] {
			return nil, pack.Refuse("%s is not cosigned by %s", name, witness.Name())
		}
	}
	return found, nil
}

func continues(folder pack.Folder, older, now *log.Checkpoint) error {
	hashes, err := folder.Hashes("consistency")
	if err != nil {
		return err
	}
	err = mproof.VerifyConsistency(rfc6962.DefaultHasher, older.Size, now.Size, hashes, older.Hash, now.Hash)
	if err != nil {
		return pack.Refuse("the tree of %d does not continue the one of %d: %v", now.Size, older.Size, err)
	}
	return nil
}

// rebuild makes the tree again from all entries, and compares each hash that a tile holds, if there
// is a shelf of tiles.
func rebuild(folder pack.Folder, now *log.Checkpoint, shelf *shelf) error {
	size := int64(now.Size)
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	grown := factory.NewEmptyRange(0)
	for first := int64(0); first < size; first += pack.Width {
		entries, err := folder.Bundle(first/pack.Width, min(pack.Width, size-first))
		if err != nil {
			return err
		}
		for _, entry := range entries {
			leaf := rfc6962.DefaultHasher.HashLeaf(entry)
			shelf.compare(compact.NewNodeID(0, grown.End()), leaf) // Append shows inner nodes only
			if err := grown.Append(leaf, shelf.compare); err != nil {
				return err
			}
		}
		if shelf != nil && shelf.err != nil {
			return shelf.err
		}
	}
	root, err := grown.GetRootHash(nil)
	if err == nil && !bytes.Equal(root, now.Hash) {
		err = pack.Refuse("the entries make another root than the checkpoint's")
	}
	return err
}

// shelf remembers tiles, and the first thing that was wrong with one.
type shelf struct {
	folder pack.Folder
	size   int64
	tiles  map[tlog.Tile][]byte
	err    error
}

func (s *shelf) compare(id compact.NodeID, hash []byte) {
	if s == nil || id.Level%pack.Height != 0 || s.err != nil {
		return
	}
	level := int(id.Level) / pack.Height
	number, at := int64(id.Index)/pack.Width, int64(id.Index)%pack.Width
	width := min(pack.Width, s.size>>id.Level-number*pack.Width)
	tile := tlog.Tile{H: pack.Height, L: level, N: number, W: int(width)}
	content, known := s.tiles[tile]
	if !known {
		if content, s.err = s.folder.Tile(tile); s.err != nil {
			return
		}
		s.tiles[tile] = content
	}
	if !bytes.Equal(content[at*tlog.HashSize:(at+1)*tlog.HashSize], hash) {
		s.err = pack.Refuse("hash %d of tile %d of level %d is not that of its entries", at, number, level)
	}
}

func (t trust) proofs(folder pack.Folder) (int, error) {
	names, err := folder.Names("events/*.tlog-proof")
	for _, name := range names {
		if err := t.proof(folder, name); err != nil {
			return 0, err
		}
	}
	return len(names), err
}

func (t trust) proof(folder pack.Folder, name string) error {
	content, err := folder.Read(name)
	if err != nil {
		return err
	}
	leaf, err := folder.Read(strings.TrimSuffix(name, "tlog-proof") + "leaf")
	if err != nil {
		return err
	}
	var found proof.TLogProof
	if err := found.Unmarshal(content); err != nil {
		return pack.Refuse("%s: %v", name, err)
	}
	signed, err := t.read(name, found.Checkpoint)
	if err != nil {
		return err
	}
	path := make([][]byte, len(found.Hashes))
	for i := range found.Hashes {
		path[i] = found.Hashes[i][:]
	}
	hash := rfc6962.DefaultHasher.HashLeaf(leaf)
	err = mproof.VerifyInclusion(rfc6962.DefaultHasher, found.Index, signed.Size, hash, path, signed.Hash)
	if err != nil {
		return pack.Refuse("%s: %v", name, err)
	}
	return nil
}
