package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"
)

// DecodeJSON reads the request's body, which must be one JSON value with no
// field that T lacks. Its error is a [Problem]: 415 for another media type, 413
// for a body over the server's limit, 400 for the rest, with what is wrong and
// where. A Problem that is the error of a type's own UnmarshalJSON stays as it is.
func DecodeJSON[T any](r *http.Request) (T, error) {
	var v T
	if ct := r.Header.Get("Content-Type"); ct != "" {
		media, _, err := mime.ParseMediaType(ct)
		if err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
			return v, NewProblem(http.StatusUnsupportedMediaType, fmt.Sprintf("The body is %q; send application/json.", ct))
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return v, decodeProblem(err)
	}
	if !utf8.Valid(body) { // encoding/json would store another text in its place
		return v, NewProblem(http.StatusBadRequest, "The body is not UTF-8.")
	}
	if string(bytes.TrimSpace(body)) == "null" { // would leave v as it is
		return v, NewProblem(http.StatusBadRequest, "A JSON null can't stand here.")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		return v, decodeProblem(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return v, NewProblem(http.StatusBadRequest, "The body holds more than one JSON value.")
	}
	return v, nil
}

func decodeProblem(err error) *Problem {
	var (
		tooLarge  *http.MaxBytesError
		syntax    *json.SyntaxError
		wrongType *json.UnmarshalTypeError
		wrongTime *time.ParseError
		problem   *Problem
	)
	detail := ""
	switch {
	case errors.As(err, &tooLarge):
		return NewProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is larger than %d bytes.", tooLarge.Limit))
	case errors.As(err, &problem): // of a type that reads itself
		return problem
	case errors.As(err, &wrongTime):
		detail = "A time in the body is not as in RFC 3339, such as 2030-01-31T12:00:00Z."
	case errors.Is(err, io.EOF):
		detail = "The body is empty; send a JSON value."
	case errors.Is(err, io.ErrUnexpectedEOF):
		detail = "The body ends in the middle of a JSON value."
	case errors.As(err, &syntax):
		detail = fmt.Sprintf("The body is no JSON: %v, at byte %d.", syntax, syntax.Offset)
	case errors.As(err, &wrongType) && wrongType.Field != "":
		detail = fmt.Sprintf("%s: a JSON %s can't stand here.", wrongType.Field, wrongType.Value)
	case errors.As(err, &wrongType):
		detail = fmt.Sprintf("A JSON %s can't stand here.", wrongType.Value)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		detail = fmt.Sprintf("The field %s is unknown.", strings.TrimPrefix(err.Error(), "json: unknown field "))
	default:
		detail = "The body could not be read."
	}
	return NewProblem(http.StatusBadRequest, detail)
}

// WriteJSON answers with status and v as JSON. A v that can't be encoded is
// answered with 500, as [WriteError] does.
func WriteJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	body, err := json.Marshal(v)
	if err != nil {
		WriteError(w, r, fmt.Errorf("encode the answer: %w", err))
		return
	}
	writeBody(w, r, status, body)
}

func writeBody(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.WriteHeader(status)
	if _, err := w.Write(append(body, '\n')); err != nil {
		callFrom(r.Context()).Err = fmt.Errorf("write the answer: %w", err)
	}
}
