package storetest

import (
	"context"

	"freshet/functions/effect"
	"freshet/shared/exchange"
)

// letterTests are what every store must do about messages that can never be written.
var letterTests = map[string]func(*World){
	"a dead letter is kept with its batch, once":            letterOnce,
	"a dead letter of a batch out of place is not kept":     letterOutOfPlace,
	"a dead letter can be written after all, once":          replayOnce,
	"a newer value keeps a dead letter from being written":  newerValue,
	"a newer delete keeps a dead letter from being written": newerDelete,
	"a newer dead letter keeps an older from being written": newerLetter,
	"a truncate keeps a dead letter from being written":     newerTruncate,
	"a later message of the batch has precedence":           newerInBatch,
	"dead letters can be dropped":                           dropLetters,
	"a letter with several keys is written whole or not":    severalKeys,
}

// Parking makes a fenced batch whose first message cannot be written although its keys are known; writes follow it.
func (w *World) Parking(session string, seq uint64, keys []string, writes ...string) *effect.Batch {
	b := w.Batch(session, seq)
	b.Begin(0)
	for _, key := range keys {
		b.Delete([]byte(key))
	}
	b.Park(effect.Letter{Table: "public.t", Reason: "too large", Position: "0000000000000065-00000001", Message: `{"n":1.10}`})
	for i, text := range writes {
		b.Begin(i + 1)
		if key, value, set := cut(text); set {
			b.Set([]byte(key), value, 0)
		} else {
			b.Delete([]byte(key))
		}
	}
	return b
}

// letters are those of the world's sink.
func (w *World) letters() []exchange.DeadLetter {
	w.Helper()
	all, err := w.Store.Letters(context.Background(), w.Sink, "", 100)
	if err != nil {
		w.Fatal(err)
	}
	kept, err := w.Store.Kept(context.Background(), w.Sink)
	if err != nil || kept != int64(len(all)) {
		w.Errorf("%d letters are counted and %d listed: %v", kept, len(all), err)
	}
	return all
}

// Kept wants so many letters and answers them.
func (w *World) Kept(want int) []exchange.DeadLetter {
	w.Helper()
	all := w.letters()
	if len(all) != want {
		w.Fatalf("got %d letters, want %d: %+v", len(all), want, all)
	}
	return all
}

// Replay wants the letter to be written, as these keys and values, or not to be.
func (w *World) Replay(l exchange.DeadLetter, want bool, writes ...string) {
	w.Helper()
	written, err := w.Store.Replay(context.Background(), w.Sink, l.ID, Plain(writes...).Writes)
	if err != nil || written != want {
		w.Errorf("replay of %s: got %v, %v, want %v", l.ID, written, err, want)
	}
}

func letterOnce(w *World) {
	w.Open(w.Ask("s1"))
	w.Set("a", "old")
	first := w.Parking("s1", 1, []string{"a"}, "b=1")
	w.Applied(first)
	w.Keys("a", "b=1")
	w.Duplicate(w.Parking("s1", 1, []string{"a"}, "b=1"))
	l := w.Kept(1)[0]
	if l.Table != "public.t" || l.Reason != "too large" || len(l.Keys) != 1 || l.Keys[0] != "a" || string(l.Message) != `{"n":1.10}` || !l.Replayable || l.Time.IsZero() || l.Position == "" {
		w.Errorf("got %+v", l)
	}
	one, ok, err := w.Store.Letter(context.Background(), w.Sink, l.ID)
	if err != nil || !ok || one.ID != l.ID {
		w.Errorf("got %+v, %v, %v", one, ok, err)
	}
	if _, ok, err := w.Store.Letter(context.Background(), w.Sink, "1-1"); ok || err != nil {
		w.Errorf("a letter that is not there: %v, %v", ok, err)
	}
}

func letterOutOfPlace(w *World) {
	w.Open(w.Ask("s1"))
	w.Refused(w.Parking("s1", 2, []string{"a"}), exchange.ReasonLost)
	w.Refused(w.Parking("s0", 1, []string{"a"}), exchange.ReasonFenced)
	w.Kept(0)
}

func replayOnce(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"a"}))
	w.Applied(w.Batch("s1", 2, "b=1")) // of another row
	l := w.Kept(1)[0]
	w.Replay(l, true, "a=1")
	w.Keys("a=1", "b=1")
	w.Kept(0)
	w.Applied(w.Batch("s1", 3, "a=2"))
	w.Replay(l, false, "a=1")
	w.Keys("a=2")
}

func newerValue(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"a"}))
	l := w.Kept(1)[0]
	w.Applied(w.Batch("s1", 2, "a=2"))
	if w.Kept(1)[0].Replayable {
		w.Error("the letter is said to be replayable")
	}
	w.Replay(l, false, "a=1")
	w.Keys("a=2")
	w.Kept(1)
}

func newerDelete(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"a"}))
	w.Applied(w.Batch("s1", 2, "a"))
	w.Replay(w.Kept(1)[0], false, "a=1")
	w.Keys("a")
}

func newerLetter(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"a"}))
	older := w.Kept(1)[0]
	w.Applied(w.Parking("s1", 2, []string{"a"}))
	newest := w.Kept(1)[0] // it has taken the place of the older
	if newest.ID == older.ID {
		w.Error("the older letter is kept")
	}
	w.Replay(older, false, "a=1")
	w.Keys("a")
	w.Replay(newest, true, "a=2")
	w.Keys("a=2")
	w.Replay(older, false, "a=1")
	w.Keys("a=2")
}

func newerTruncate(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"t:1"}))
	w.Applied(w.Parking("s1", 2, []string{"u:1"}))
	truncate := w.Batch("s1", 3)
	truncate.Clear("t:")
	w.Applied(truncate)
	both := w.Kept(2)
	w.Replay(both[0], false, "t:1=1")
	w.Replay(both[1], true, "u:1=1")
	w.Keys("t:1", "u:1=1")
}

func newerInBatch(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"a"}, "a=2"))
	w.Keys("a=2")
	w.Replay(w.Kept(1)[0], false, "a=1")
	w.Keys("a=2")
}

func dropLetters(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"a"}))
	w.Applied(w.Parking("s1", 2, []string{"b"}))
	both := w.Kept(2)
	for i, want := range []bool{true, false} {
		if dropped, err := w.Store.Drop(context.Background(), w.Sink, both[0]); dropped != want || err != nil {
			w.Errorf("drop %d: got %v, %v", i+1, dropped, err)
		}
	}
	w.Replay(both[0], false, "a=1")
	w.Keys("a")
	w.Kept(1)
	w.Replay(both[1], true, "b=1")
}

func severalKeys(w *World) {
	w.Open(w.Ask("s1"))
	w.Applied(w.Parking("s1", 1, []string{"a", "b"}))
	w.Applied(w.Parking("s1", 2, []string{"c", "d"}))
	w.Applied(w.Batch("s1", 3, "b=2"))
	both := w.Kept(2)
	w.Replay(both[0], false, "a=1", "b=1")
	w.Replay(both[1], false, "c=1", "x=1") // by rules that make other keys
	w.Keys("a", "b=2", "c", "d")
	w.Replay(both[1], true, "c=1", "d=1")
	w.Keys("c=1", "d=1")
}
