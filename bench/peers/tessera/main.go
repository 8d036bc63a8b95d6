// Reads entries (16-bit length, bytes) from standard input and has Tessera's POSIX driver integrate
// and publish all of them in a folder; prints entries and seconds. For `python -m bench seal`.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
)

func main() {
	folder, batch := os.Args[1], must(strconv.Atoi(os.Args[2]))
	entries := read(os.Stdin)
	skey, _, err := note.GenerateKey(rand.Reader, "bench.example")
	check(err)
	signer := must(note.NewSigner(skey))
	ctx := context.Background()
	driver := must(posix.New(ctx, posix.Config{Path: folder}))
	options := tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(uint(batch), 10*time.Millisecond).
		WithPushback(uint(4 * batch)).
		WithCheckpointInterval(100 * time.Millisecond)
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, options)
	check(err)
	awaiter := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 5*time.Millisecond)
	began := time.Now()
	window := make(chan tessera.IndexFuture, 2*batch)
	done := make(chan struct{})
	go func() {
		var last tessera.IndexFuture
		for future := range window {
			_, err := future()
			check(err)
			last = future
		}
		_, _, err := awaiter.Await(ctx, last)
		check(err)
		close(done)
	}()
	for _, entry := range entries {
		window <- appender.Add(ctx, tessera.NewEntry(entry))
	}
	close(window)
	<-done
	fmt.Println(len(entries), time.Since(began).Seconds())
	check(shutdown(ctx))
}

func read(from io.Reader) [][]byte {
	var entries [][]byte
	buffered := bufio.NewReaderSize(from, 1<<20)
	for {
		var size uint16
		if err := binary.Read(buffered, binary.BigEndian, &size); err == io.EOF {
			return entries
		} else {
			check(err)
		}
		entry := make([]byte, size)
		_, err := io.ReadFull(buffered, entry)
		check(err)
		entries = append(entries, entry)
	}
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
