package hcloudfake

import (
	"slices"
	"strings"
	"time"
)

// What Hetzner has on offer: a part of it, as of 2026.

type location struct {
	ID          int64   `json:"id"`
	Name        string  `json:"name"`
	Description string  `json:"description"`
	Country     string  `json:"country"`
	City        string  `json:"city"`
	Latitude    float64 `json:"latitude"`
	Longitude   float64 `json:"longitude"`
	NetworkZone string  `json:"network_zone"`
}

var locations = []*location{
	{1, "fsn1", "Falkenstein DC Park 1", "DE", "Falkenstein", 50.47612, 12.370071, "eu-central"},
	{2, "nbg1", "Nuremberg DC Park 1", "DE", "Nuremberg", 49.452102, 11.076665, "eu-central"},
	{3, "hel1", "Helsinki DC Park 1", "FI", "Helsinki", 60.169855, 24.938379, "eu-central"},
	{4, "ash", "Ashburn, VA", "US", "Ashburn, VA", 39.045821, -77.487073, "us-east"},
	{5, "hil", "Hillsboro, OR", "US", "Hillsboro, OR", 45.54222, -122.951924, "us-west"},
	{6, "sin", "Singapore", "SG", "Singapore", 1.283333, 103.833333, "ap-southeast"},
}

type serverType struct {
	ID           int64           `json:"id"`
	Name         string          `json:"name"`
	Description  string          `json:"description"`
	Category     string          `json:"category"`
	Cores        int             `json:"cores"`
	Memory       float64         `json:"memory"`
	Disk         int             `json:"disk"`
	StorageType  string          `json:"storage_type"`
	CPUType      string          `json:"cpu_type"`
	Architecture string          `json:"architecture"`
	Prices       []any           `json:"prices"`
	Deprecated   bool            `json:"deprecated"`
	Deprecation  *deprecation    `json:"deprecation"`
	Locations    []*typeLocation `json:"locations"`
}

type typeLocation struct {
	ID          int64        `json:"id"`
	Name        string       `json:"name"`
	Recommended bool         `json:"recommended"`
	Available   bool         `json:"available"`
	Deprecation *deprecation `json:"deprecation"`
}

type deprecation struct {
	Announced        time.Time `json:"announced"`
	UnavailableAfter time.Time `json:"unavailable_after"`
}

var (
	europe  = []string{"fsn1", "nbg1", "hel1"}
	abroad  = []string{"ash", "hil", "sin"}
	retired = &deprecation{time.Date(2025, 10, 16, 6, 0, 0, 0, time.UTC), time.Date(2025, 12, 31, 23, 59, 59, 0, time.UTC)}
)

var serverTypes = []*serverType{
	newType(114, "cx23", "cost_optimized", 2, 4, 40, "shared", "x86", nil, europe),
	newType(115, "cx33", "cost_optimized", 4, 8, 80, "shared", "x86", nil, europe),
	newType(104, "cx22", "cost_optimized", 2, 4, 40, "shared", "x86", retired, europe),
	newType(45, "cax11", "cost_optimized", 2, 4, 40, "shared", "arm", nil, europe),
	newType(93, "cax21", "cost_optimized", 4, 8, 80, "shared", "arm", nil, europe),
	newType(22, "cpx11", "regular_purpose", 2, 2, 40, "shared", "x86", nil, abroad),
	newType(96, "ccx13", "general_purpose", 2, 8, 80, "dedicated", "x86", nil, slices.Concat(europe, abroad)),
}

func newType(id int64, name, category string, cores int, memory float64, disk int, cpu, architecture string, gone *deprecation, at []string) *serverType {
	t := &serverType{ID: id, Name: name, Description: strings.ToUpper(name), Category: category, Cores: cores, Memory: memory, Disk: disk,
		StorageType: "local", CPUType: cpu, Architecture: architecture, Prices: []any{}, Deprecated: gone != nil, Deprecation: gone}
	for _, l := range locations {
		if slices.Contains(at, l.Name) {
			t.Locations = append(t.Locations, &typeLocation{ID: l.ID, Name: l.Name, Available: gone == nil, Deprecation: gone})
		}
	}
	return t
}

type image struct {
	ID           int64             `json:"id"`
	Status       string            `json:"status"`
	Type         string            `json:"type"`
	Name         *string           `json:"name"`
	Description  string            `json:"description"`
	ImageSize    *float64          `json:"image_size"`
	DiskSize     float64           `json:"disk_size"`
	Created      *time.Time        `json:"created"`
	CreatedFrom  *struct{}         `json:"created_from"`
	BoundTo      *int64            `json:"bound_to"`
	OSFlavor     string            `json:"os_flavor"`
	OSVersion    *string           `json:"os_version"`
	Architecture string            `json:"architecture"`
	RapidDeploy  bool              `json:"rapid_deploy"`
	Protection   protection        `json:"protection"`
	Deprecated   *time.Time        `json:"deprecated"`
	Deleted      *time.Time        `json:"deleted"`
	Labels       map[string]string `json:"labels"`
}

type protection struct {
	Delete bool `json:"delete"`
}

func systemImages() []*image {
	var out []*image
	add := func(id int64, flavor, version, architecture string, deprecated *time.Time) {
		name, created := flavor+"-"+version, time.Date(2023, 6, 13, 6, 0, 0, 0, time.UTC)
		out = append(out, &image{ID: id, Status: "available", Type: "system", Name: &name, Description: flavor + " " + version, DiskSize: 5, Created: &created,
			OSFlavor: flavor, OSVersion: &version, Architecture: architecture, RapidDeploy: true, Deprecated: deprecated, Labels: map[string]string{}})
	}
	long := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	add(114690387, "debian", "12", "x86", nil)
	add(114690389, "debian", "12", "arm", nil)
	add(161547269, "ubuntu", "24.04", "x86", nil)
	add(161547270, "ubuntu", "24.04", "arm", nil)
	add(310557660, "debian", "13", "x86", nil)
	add(310557661, "debian", "13", "arm", nil)
	add(45557056, "debian", "11", "x86", &long)
	return out
}

func (c *Cloud) image(id int64, name, architecture string) *image {
	for _, i := range c.images {
		if i.ID == id || i.Name != nil && *i.Name == name && (architecture == "" || i.Architecture == architecture) {
			return i
		}
	}
	return nil
}

func listLocations(q *request, _ int64) (int, any, *Error) {
	all, e := matching(q, slices.Clone(locations), func(l *location) meta { return meta{Name: l.Name} })
	if e != nil {
		return 0, nil, e
	}
	return page(q, "locations", all)
}

func getLocation(_ *request, id int64) (int, any, *Error) {
	for _, l := range locations {
		if l.ID == id {
			return 200, map[string]any{"location": l}, nil
		}
	}
	return 0, nil, notFound("location", id)
}

func listTypes(q *request, _ int64) (int, any, *Error) {
	all, e := matching(q, slices.Clone(serverTypes), func(t *serverType) meta { return meta{Name: t.Name} })
	if e != nil {
		return 0, nil, e
	}
	return page(q, "server_types", all)
}

func getType(_ *request, id int64) (int, any, *Error) {
	for _, t := range serverTypes {
		if t.ID == id {
			return 200, map[string]any{"server_type": t}, nil
		}
	}
	return 0, nil, notFound("server type", id)
}

// listImages leaves deprecated ones out unless they are asked for.
func listImages(q *request, _ int64) (int, any, *Error) {
	among := func(name, value string) bool {
		return len(q.query[name]) == 0 || slices.Contains(q.query[name], value)
	}
	all, e := matching(q, slices.Clone(q.images), func(i *image) meta {
		m := meta{Labels: i.Labels}
		if i.Name != nil {
			m.Name = *i.Name
		}
		return m
	})
	if e != nil {
		return 0, nil, e
	}
	all = slices.DeleteFunc(all, func(i *image) bool {
		return !among("architecture", i.Architecture) || !among("type", i.Type) || !among("status", i.Status) ||
			i.Deprecated != nil && q.query.Get("include_deprecated") != "true"
	})
	if slices.Contains(q.query["sort"], "created:desc") {
		slices.SortStableFunc(all, func(a, b *image) int { return b.Created.Compare(*a.Created) })
	}
	return page(q, "images", all)
}

func getImage(q *request, id int64) (int, any, *Error) {
	if i := q.image(id, "", ""); i != nil {
		return 200, map[string]any{"image": i}, nil
	}
	return 0, nil, notFound("image", id)
}
