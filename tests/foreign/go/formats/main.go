// Command formats verifies a pack with github.com/transparency-dev/formats and merkle: the log's
// signature and its witnesses' under the pack's policy, tlog-proofs, consistency, and the tree made
// again from the entries, with every hash of every tile compared on the way.
package main

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/formats/witness"
	"github.com/transparency-dev/merkle/compact"
	mproof "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"releaseledger.org/foreign/pack"
)

func main() { pack.Run("formats", verifyLog, verifyPack) }

// trust is the log's key, and the pack's policy: the witnesses, and how many of them are enough.
type trust struct {
	log       note.Verifier
	witnesses []note.Verifier
	quorum    witness.Group
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
	if err := rebuild(folder, now); err != nil {
		return "", err
	}
	proofs, err := keys.proofs(folder)
	said := "%d entries of %s make the root again; of %d witnesses enough; the tree of %d continued; %d proofs"
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
	if err := rebuild(folder, now); err != nil {
		return "", err
	}
	proofs, err := keys.proofs(folder)
	said := "%d entries of %s make the root again; of %d witnesses enough; %d proofs"
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
	policy, err := folder.Read("trust/policy")
	if err != nil {
		return trust{}, err
	}
	if keys.quorum, err = witness.ParsePolicy(withAddresses(policy)); err != nil {
		return trust{}, pack.Refuse("trust/policy: %v", err)
	}
	for _, verifier := range keys.quorum.Endpoints() {
		keys.witnesses = append(keys.witnesses, verifier)
	}
	return keys, nil
}

// withAddresses gives an address to each witness that has none. tlog-policy lets it out; this
// parser, made for logs, which call their witnesses, does not.
func withAddresses(policy []byte) []byte {
	lines := strings.Split(string(policy), "\n")
	for i, line := range lines {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "witness" {
			lines[i] = fmt.Sprintf("%s https://witness-%d.invalid", line, i)
		}
	}
	return []byte(strings.Join(lines, "\n"))
}

func (t trust) open(folder pack.Folder, name string) (*log.Checkpoint, error) {
	content, err := folder.Read(name)
	if err != nil {
		return nil, err
	}
	return t.read(name, content)
}

func (t trust) read(name string, content []byte) (*log.Checkpoint, error) {
	found, _, _, err := log.ParseCheckpoint(content, t.log.Name(), t.log, t.witnesses...)
	if err != nil {
		return nil, pack.Refuse("%s: %v", name, err)
	}
	if !t.quorum.Satisfied(content) {
		return nil, pack.Refuse("%s has not the cosignatures that the policy demands", name)
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

// rebuild makes the tree again from all entries, and compares each hash that a tile holds.
func rebuild(folder pack.Folder, now *log.Checkpoint) error {
	size := int64(now.Size)
	shelf := shelf{folder: folder, size: size, tiles: map[tlog.Tile][]byte{}}
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
		if shelf.err != nil {
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
	if id.Level%pack.Height != 0 || s.err != nil {
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
