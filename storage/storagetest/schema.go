package storagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"

	"reeve/resource"
)

// Toy is a row of [Toys].
type Toy struct {
	ID        ulid.ULID
	Name      string
	Motto     string
	Nickname  *string
	Kind      string
	Brand     string
	Model     string
	Broken    bool
	Washable  *bool
	Pieces    int64
	Lost      int64
	Wanted    *int64
	Weight    float64
	Price     *float64
	CreatedAt time.Time
	SoldAt    *time.Time
	ExpiresAt time.Time
	PlayedAt  *time.Time
	Serial    ulid.ULID
	Batch     *ulid.ULID
	Colours   []string
	Materials []string
	Design    json.RawMessage
	Digest    string
	Pin       string
	Receipt   string
	Password  string

	Box    ulid.ULID
	Lender ulid.ULID
	Keeper ulid.ULID
	Parent ulid.ULID
	About  resource.Identifier
}

// Toys is a schema that uses everything a schema can say: each kind of value, plain and nullable, each rule of
// deletion, each form of condition.
var Toys = resource.Schema[Toy]{
	Name: "toy", Plural: "toys",
	Doc: "A thing to play with.",
	ID:  func(t *Toy) *ulid.ULID { return &t.ID },
	Attributes: []resource.Attribute[Toy]{
		resource.Attr("name", func(t *Toy) *string { return &t.Name }).Required().Unique().
			Filter(resource.Eq, resource.Contains, resource.Prefix, resource.Less, resource.AtLeast),
		resource.Attr("motto", func(t *Toy) *string { return &t.Motto }).Nullable().
			Filter(resource.Contains, resource.Prefix, resource.Null),
		resource.Attr("nickname", func(t *Toy) **string { return &t.Nickname }).Unique().Filter(resource.Eq, resource.Null),
		resource.Attr("kind", func(t *Toy) *string { return &t.Kind }).OneOf("ball", "car", "doll").Filter(resource.Eq),
		resource.Attr("brand", func(t *Toy) *string { return &t.Brand }),
		resource.Attr("model", func(t *Toy) *string { return &t.Model }).Nullable(),
		resource.Attr("broken", func(t *Toy) *bool { return &t.Broken }).Filter(resource.Eq),
		resource.Attr("washable", func(t *Toy) **bool { return &t.Washable }).Filter(resource.Eq, resource.Null),
		resource.Attr("pieces", func(t *Toy) *int64 { return &t.Pieces }).
			Filter(resource.Eq, resource.AtLeast, resource.AtMost),
		resource.Attr("lost", func(t *Toy) *int64 { return &t.Lost }),
		resource.Attr("wanted", func(t *Toy) **int64 { return &t.Wanted }).Filter(resource.Eq, resource.Greater),
		resource.Attr("weight", func(t *Toy) *float64 { return &t.Weight }).
			Filter(resource.Eq, resource.Less, resource.Greater, resource.AtLeast, resource.AtMost),
		resource.Attr("price", func(t *Toy) **float64 { return &t.Price }).Filter(resource.AtMost, resource.Null),
		resource.Attr("created_at", func(t *Toy) *time.Time { return &t.CreatedAt }).Created().
			Filter(resource.Less, resource.Greater),
		resource.Attr("sold_at", func(t *Toy) **time.Time { return &t.SoldAt }).
			Filter(resource.Less, resource.Greater, resource.AtMost, resource.AtLeast),
		resource.Attr("expires_at", func(t *Toy) *time.Time { return &t.ExpiresAt }).Nullable(),
		resource.Attr("played_at", func(t *Toy) **time.Time { return &t.PlayedAt }).Quiet(),
		resource.Attr("serial", func(t *Toy) *ulid.ULID { return &t.Serial }).Filter(resource.Eq, resource.Less),
		resource.Attr("batch", func(t *Toy) **ulid.ULID { return &t.Batch }).Filter(resource.Eq),
		resource.Attr("colours", func(t *Toy) *[]string { return &t.Colours }),
		resource.Attr("materials", func(t *Toy) *[]string { return &t.Materials }).Nullable().Filter(resource.Null),
		resource.Attr("design", func(t *Toy) *json.RawMessage { return &t.Design }).Nullable(),
		resource.Attr("digest", func(t *Toy) *string { return &t.Digest }).Nullable().Unique().Hidden(),
		resource.Attr("pin", func(t *Toy) *string { return &t.Pin }).Nullable().Secret(),
		resource.Once("receipt", func(t *Toy) *string { return &t.Receipt }),
		resource.Input("password", func(t *Toy) *string { return &t.Password }, func(_ context.Context, s string) (string, error) { return s, nil }),
		resource.Computed("label", func(_ resource.View, t *Toy) string { return t.Brand + " " + t.Model }),
		resource.State[Toy]("sold", resource.NotNull("sold_at")),
		resource.State[Toy]("usable", resource.All{
			resource.Equal("broken", false),
			resource.Any{resource.IsNull("expires_at"), resource.Compare{Attribute: "expires_at", Op: resource.Greater, Operand: resource.Now{}}},
		}),
		resource.State[Toy]("incomplete", resource.Compare{
			Attribute: "wanted", Op: resource.Greater, Operand: resource.Sum{"pieces", "lost"},
		}),
	},
	References: []resource.Reference[Toy]{
		resource.ToOne("box", "box", func(t *Toy) *ulid.ULID { return &t.Box }).Required().OnDelete(resource.Cascade),
		resource.ToOne("lender", "box", func(t *Toy) *ulid.ULID { return &t.Lender }).Nullable().OnDelete(resource.Clear),
		resource.ToOne("keeper", "box", func(t *Toy) *ulid.ULID { return &t.Keeper }).Nullable().OnDelete(resource.Restrict),
		resource.ToOne("parent", "toy", func(t *Toy) *ulid.ULID { return &t.Parent }).Nullable().OnDelete(resource.Cascade),
		resource.ToAny("about", func(t *Toy) *resource.Identifier { return &t.About }),
		resource.ToMany[Toy]("stickers", "box"),
		resource.ToMany[Toy]("friends", "toy"),
	},
	Filters: []resource.Filter{
		{Name: "status", Doc: "What became of it.", Values: map[string]resource.Condition{
			"new":     resource.All{resource.IsNull("sold_at"), resource.Equal("broken", false)},
			"sold":    resource.NotNull("sold_at"),
			"broken":  resource.Equal("broken", true),
			"expired": resource.Past("expires_at"),
			"small":   resource.Any{resource.Equal("kind", "ball"), resource.Equal("kind", "car")},
			"odd":     resource.Not{Condition: resource.Any{resource.Equal("kind", "ball"), resource.IsNull("washable")}},
			"all":     resource.All{},
			"none":    resource.Any{},
		}},
		{Name: "search", Doc: "A part of its name or motto.", Kind: resource.String, Where: func(arg any) resource.Condition {
			return resource.Any{
				resource.Holds("name", resource.Contains, arg), resource.Holds("motto", resource.Contains, arg),
			}
		}},
		{Name: "id", Qualifier: resource.Greater, Doc: "Made after it.", Kind: resource.ID,
			Where: func(arg any) resource.Condition { return resource.Holds("id", resource.Greater, arg) }},
		{Name: "orphan", Doc: "Whether it has no parent.", Values: map[string]resource.Condition{
			"true": resource.IsNull("parent"), "false": resource.NotNull("parent"),
		}},
		{Name: "sticker", Doc: "A box that it has a sticker of.", Kind: resource.ID,
			Where: func(arg any) resource.Condition {
				return resource.Exists{Relation: "stickers", Condition: resource.Equal("id", arg)}
			}},
		{Name: "sticker_label", Doc: "The beginning of the label of a box that it has a sticker of.", Kind: resource.String,
			Where: func(arg any) resource.Condition {
				return resource.Exists{Relation: "stickers", Condition: resource.Holds("label", resource.Prefix, arg)}
			}},
		{Name: "friendly", Doc: "Whether it has a friend that is not broken.", Values: map[string]resource.Condition{
			"true":  resource.Exists{Relation: "friends", Condition: resource.Equal("broken", false)},
			"false": resource.Not{Condition: resource.Exists{Relation: "friends", Condition: resource.Equal("broken", false)}},
		}},
	},
	Unique: [][]string{{"brand", "model"}, {"keeper", "serial"}},
	Sorts: [][]string{
		{"name"}, {"nickname"}, {"created_at"}, {"-sold_at"}, {"broken"}, {"batch"},
		{"washable", "-weight"}, {"-wanted", "motto"}, {"kind", "-price", "lost"},
	},
}

// Box is a row of [Boxes].
type Box struct {
	ID     ulid.ULID
	Label  string
	Volume int64
}

// Boxes is what toys refer to.
var Boxes = resource.Schema[Box]{
	Name: "box", Plural: "boxes",
	Doc: "A place for toys.",
	ID:  func(b *Box) *ulid.ULID { return &b.ID },
	Attributes: []resource.Attribute[Box]{
		resource.Attr("label", func(b *Box) *string { return &b.Label }).Required().Unique().
			Filter(resource.Eq, resource.Contains),
		resource.Attr("volume", func(b *Box) *int64 { return &b.Volume }).Filter(resource.AtLeast),
	},
}

// NewBox is the box number i.
func NewBox(i int) *Box {
	return &Box{ID: resource.NamedID("box", fmt.Sprint(i)), Label: fmt.Sprintf("Box %d", i), Volume: int64(i)}
}

// NewToy is the toy number i, which lies in one of the boxes.
func NewToy(boxes ...ulid.ULID) func(i int) *Toy {
	begin := time.Date(2024, 7, 12, 12, 11, 46, 123456000, time.UTC)
	return func(i int) *Toy {
		toy := &Toy{
			ID: resource.NamedID("toy", fmt.Sprint(i)), Name: fmt.Sprintf("Toy %d", i),
			Kind: []string{"ball", "car", "doll"}[i%3], Brand: fmt.Sprintf("Brand %d", i%7), Model: fmt.Sprintf("M%d", i),
			Broken: i%4 == 0, Pieces: int64(i % 5), Lost: int64(i % 2), Weight: float64(i) / 4,
			CreatedAt: begin.Add(time.Duration(i) * time.Hour), Serial: resource.NamedID("serial", fmt.Sprint(i)),
			Colours: []string{"red", fmt.Sprint(i)}, Box: boxes[i%len(boxes)],
		}
		if i%2 == 0 {
			toy.Motto, toy.Nickname, toy.Washable = "Play, Ärger & Spaß", new(fmt.Sprintf("nick-%d", i)), new(i%4 == 0)
			toy.Wanted, toy.Price = new(int64(i%7)), new(float64(i)+0.25)
			toy.Materials, toy.Design = []string{"wood"}, json.RawMessage(fmt.Sprintf(`{"b":[%d,null],"a":"x"}`, i))
			toy.Digest, toy.Pin = fmt.Sprintf("digest-%d", i), "1234"
		}
		if i%3 == 0 {
			toy.SoldAt, toy.ExpiresAt = new(begin.Add(time.Duration(i)*time.Minute)), begin.Add(time.Duration(i-30)*time.Minute)
			toy.PlayedAt, toy.Batch = new(begin), new(resource.NamedID("batch", fmt.Sprint(i%2)))
			toy.Lender, toy.Keeper = boxes[(i+1)%len(boxes)], boxes[(i+2)%len(boxes)]
			toy.About = resource.Identifier{Type: "box", ID: boxes[0]}
		}
		return toy
	}
}
