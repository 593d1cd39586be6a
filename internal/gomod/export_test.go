package gomod

// DecodeEmbedded is Embedded without its memory.
var DecodeEmbedded = decodeEmbedded
