package hcloudfake

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
)

type sshKey struct {
	meta
	PublicKey   string `json:"public_key"`
	Fingerprint string `json:"fingerprint"`
}

// fingerprint is MD5's, as Hetzner shows it; "" for what is no key.
func fingerprint(public string) string {
	parts := strings.Fields(public)
	if len(parts) < 2 {
		return ""
	}
	blob, err := base64.StdEncoding.DecodeString(parts[1])
	if err != nil || !strings.Contains(string(blob), parts[0]) {
		return ""
	}
	sum := md5.Sum(blob)
	text := hex.EncodeToString(sum[:])
	var out []string
	for pair := range slices.Chunk([]byte(text), 2) {
		out = append(out, string(pair))
	}
	return strings.Join(out, ":")
}

func listKeys(q *request, _ int64) (int, any, *Error) {
	all, e := matching(q, sorted(q.keys), func(k *sshKey) meta { return k.meta })
	if e != nil {
		return 0, nil, e
	}
	if f := q.query.Get("fingerprint"); f != "" {
		all = slices.DeleteFunc(all, func(k *sshKey) bool { return k.Fingerprint != f })
	}
	return page(q, "ssh_keys", all)
}

func getKey(q *request, id int64) (int, any, *Error) {
	k, ok := q.keys[id]
	if !ok {
		return 0, nil, notFound("SSH key", id)
	}
	return 200, map[string]any{"ssh_key": k}, nil
}

func createKey(q *request, _ int64) (int, any, *Error) {
	var r struct {
		Name      string            `json:"name"`
		PublicKey string            `json:"public_key"`
		Labels    map[string]string `json:"labels"`
	}
	if e := q.decode(&r); e != nil {
		return 0, nil, e
	}
	if e := named(r.Name, r.Labels); e != nil {
		return 0, nil, e
	}
	f := fingerprint(r.PublicKey)
	if f == "" {
		return 0, nil, invalid("public_key", "must be a valid SSH public key")
	}
	for _, k := range q.keys {
		if k.Fingerprint == f {
			return 0, nil, refuse(409, "uniqueness_error", "SSH key with the same fingerprint already exists")
		}
	}
	if e := unused(q, "ssh_key", r.Name, q.keys, func(k *sshKey) meta { return k.meta }); e != nil {
		return 0, nil, e
	}
	k := &sshKey{meta: q.newMeta("ssh_key", r.Name, r.Labels), PublicKey: r.PublicKey, Fingerprint: f}
	q.keys[k.ID] = k
	return 201, map[string]any{"ssh_key": k}, nil
}

func deleteKey(q *request, id int64) (int, any, *Error) {
	if _, ok := q.keys[id]; !ok {
		return 0, nil, notFound("SSH key", id)
	}
	delete(q.keys, id)
	return 204, nil, nil
}
