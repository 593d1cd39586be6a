package gomod

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"sync"
)

//go:generate go run ./gen

// universeGz is the gzipped text form of the universe of templates/service.
//
//go:embed universe.txt.gz
var universeGz []byte

// Embedded returns the universe of what the templates import, which go generate
// has made. It is decoded once.
func Embedded() (*Universe, error) { return embedded() }

var embedded = sync.OnceValues(decodeEmbedded)

func decodeEmbedded() (*Universe, error) {
	text, err := gunzip(universeGz)
	if err != nil {
		return nil, fmt.Errorf("universe: %w", err)
	}
	return Decode(text)
}

func gunzip(data []byte) (string, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(z)
	return string(text), err
}
