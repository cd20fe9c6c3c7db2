package slackfake

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
)

func (c *call) uploadURL() (Object, *refusal) {
	name, length := c.str("filename"), c.int("length", 0)
	switch {
	case name == "":
		return nil, refuse("invalid_arguments", "[ERROR] missing required field: filename")
	case length <= 0:
		return nil, refuse("invalid_arguments", "[ERROR] length must be more than 0")
	}
	f := &File{ID: c.s.ws.newID("F"), Name: name, Title: name, length: length}
	c.s.ws.files[f.ID] = f
	token := c.s.secret("up")
	c.s.uploads[token] = f
	return Object{"upload_url": c.s.URL() + "/upload/v1/" + token, "file_id": f.ID}, nil
}

// serveUpload takes a file's bytes, raw or as a form's file.
func (s *Server) serveUpload(w http.ResponseWriter, r *http.Request) {
	content, err := readUpload(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.uploads[r.PathValue("token")]
	e := Entry{Kind: "upload", Status: http.StatusOK}
	switch {
	case f == nil:
		e.Status, e.Err = http.StatusNotFound, "unknown upload"
	case err != nil:
		e.Status, e.Err = http.StatusBadRequest, err.Error()
	case len(content) != f.length:
		e.Status, e.Err = http.StatusBadRequest, fmt.Sprintf("%d bytes announced, %d received", f.length, len(content))
	default:
		f.Content = content
		delete(s.uploads, r.PathValue("token"))
	}
	s.record(e)
	if e.Err != "" {
		http.Error(w, e.Err, e.Status)
		return
	}
	_, _ = fmt.Fprintf(w, "OK - %d", len(content))
}

func readUpload(r *http.Request) ([]byte, error) {
	r.Body = http.MaxBytesReader(nil, r.Body, 64<<20)
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "multipart/form-data" {
		return io.ReadAll(r.Body)
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, err
	}
	for {
		part, err := parts.NextPart()
		if err != nil {
			return nil, fmt.Errorf("no file in the form: %w", err)
		}
		if part.FileName() != "" {
			return io.ReadAll(part)
		}
	}
}

func (c *call) completeUpload() (Object, *refusal) {
	w := c.s.ws
	v, given, ok := c.json("files")
	wanted, isList := v.([]any)
	if !given || !ok || !isList || len(wanted) == 0 {
		return nil, refuse("invalid_arguments", "[ERROR] missing required field: files")
	}
	var files []*File
	for _, o := range objects(wanted) {
		f := w.files[str(o, "id")]
		if f == nil || f.Content == nil {
			return nil, refuse("file_not_found")
		}
		if f.Complete {
			return nil, refuse("file_already_completed")
		}
		files = append(files, f)
	}
	var channels []string
	if id := c.str("channel_id"); id != "" {
		channels = append(channels, id)
	}
	if ids := c.str("channels"); ids != "" {
		channels = append(channels, strings.Split(ids, ",")...)
	}
	for _, id := range channels {
		ch := w.channels[id]
		switch {
		case ch == nil, (ch.Private || ch.IM) && !ch.has(w.botUser):
			return nil, refuse("channel_not_found")
		case !ch.has(w.botUser):
			return nil, refuse("not_in_channel")
		case ch.Archived:
			return nil, refuse("is_archived")
		}
	}
	var blocks []Object
	if v, given, ok := c.json("blocks"); given {
		all, isList := v.([]any)
		if !ok || !isList {
			return nil, refuse("invalid_blocks_format")
		}
		check := c.s.newChecker(inMessage)
		check.blocks(all, "/blocks")
		if len(check.found) > 0 {
			return nil, refuse("invalid_blocks", check.messages()...)
		}
		blocks = w.named(all)
	}
	out := []any{}
	var shared []File
	for i, f := range files {
		f.Complete = true
		if title := str(objects(wanted)[i], "title"); title != "" {
			f.Title = title
		}
		f.URL = c.s.URL() + "/files-pri/" + f.ID + "/" + url.PathEscape(f.Name)
		shared = append(shared, *f)
		out = append(out, c.s.fileJSON(f))
	}
	for _, id := range channels {
		m := &Message{Channel: id, User: w.botUser, BotID: w.botID, Text: c.str("initial_comment"), Blocks: blocks, Files: shared}
		if problem := c.thread(m); problem != nil {
			return nil, problem
		}
		w.add(m, c.s.clock.Now())
		c.s.posted(m, false)
	}
	return Object{"files": out}, nil
}

func (s *Server) fileJSON(f *File) Object {
	return Object{
		"id": f.ID, "name": f.Name, "title": f.Title, "size": len(f.Content), "mimetype": mime.TypeByExtension(path.Ext(f.Name)),
		"filetype": strings.TrimPrefix(path.Ext(f.Name), "."), "user": s.ws.botUser, "mode": "hosted",
		"url_private": f.URL, "url_private_download": f.URL, "permalink": f.URL,
	}
}

// serveFile gives a file's bytes to the app, and to the page of this very
// stand-in.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) {
	f, found := s.File(r.PathValue("id"))
	if !found || !f.Complete {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(f.Content)
}
