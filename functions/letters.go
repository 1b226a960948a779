package functions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"freshet/functions/effect"
	"freshet/functions/rules"
	"freshet/shared/change"
	"freshet/shared/exchange"
	"freshet/shared/logging"
)

// Letters is where messages are kept that can never be written. They get there with the batch that they came in, see Store.Apply.
type Letters interface {
	// Letters answers some, the oldest first, of those that came after one.
	Letters(ctx context.Context, sink, after string, count int64) ([]exchange.DeadLetter, error)
	// Letter answers one.
	Letter(ctx context.Context, sink, id string) (l exchange.DeadLetter, ok bool, err error)
	// Kept counts them.
	Kept(ctx context.Context, sink string) (int64, error)
	// Replay makes the writes and forgets the letter, if nothing newer came for any of the keys.
	Replay(ctx context.Context, sink, id string, writes []effect.Write) (written bool, err error)
	// Drop forgets one.
	Drop(ctx context.Context, sink string, l exchange.DeadLetter) (dropped bool, err error)
}

// DeadLetters lists letters, without their messages; with an id, one letter with its message.
func (h *Handler) DeadLetters(ctx context.Context, sink, after, id string, count int64) (exchange.DeadLetters, error) {
	answer := exchange.DeadLetters{Letters: []exchange.DeadLetter{}}
	if !validSink(sink) {
		return answer, wrongSink(sink)
	}
	if after != "" && !letterID.MatchString(after) {
		return answer, malformed("this names no letter", fmt.Sprintf(`"after" is %q`, after))
	}
	var err error
	if answer.Kept, err = h.store.Kept(ctx, sink); err != nil {
		return answer, err
	}
	if id != "" {
		l, ok, err := h.store.Letter(ctx, sink, id)
		if ok {
			answer.Letters = append(answer.Letters, l)
		}
		return answer, err
	}
	for int64(len(answer.Letters)) < count {
		some, err := h.store.Letters(ctx, sink, after, min(lettersAtOnce, count-int64(len(answer.Letters))))
		if err != nil || len(some) == 0 {
			return answer, err
		}
		after = some[len(some)-1].ID
		for _, l := range some {
			l.Message = nil
			answer.Letters = append(answer.Letters, l)
		}
	}
	return answer, nil
}

var letterID = regexp.MustCompile(`^\d{1,18}-\d{1,18}$`)

// lettersAtOnce bounds what is in memory, as a letter may have 1 MiB.
const lettersAtOnce = 16

// SettleDeadLetters writes or drops letters.
func (h *Handler) SettleDeadLetters(ctx context.Context, ask exchange.DeadLettersRequest) (answer exchange.DeadLettersResponse, err error) {
	var do func(context.Context, string, exchange.DeadLetter) (why string, err error)
	switch {
	case !validSink(ask.Sink):
		return answer, wrongSink(ask.Sink)
	case ask.All == (len(ask.IDs) > 0):
		return answer, malformed("the request names no letters", `it needs either "ids" or "all"`)
	case ask.Do == exchange.ReplayLetters:
		do = h.replayLetter
	case ask.Do == exchange.DropLetters:
		do = h.dropLetter
	default:
		return answer, malformed("the request does not say what to do", fmt.Sprintf(`"do" is %q; it is replay or drop`, ask.Do))
	}
	settle := func(l exchange.DeadLetter) error {
		why, err := do(ctx, ask.Sink, l)
		switch {
		case err != nil:
			return err
		case why != "":
			answer.Left = append(answer.Left, exchange.LeftLetter{ID: l.ID, Why: why})
		default:
			answer.Done++
		}
		return nil
	}
	for _, id := range ask.IDs {
		l, ok, err := h.store.Letter(ctx, ask.Sink, id)
		if err != nil {
			return answer, err
		}
		if !ok {
			answer.Left = append(answer.Left, exchange.LeftLetter{ID: id, Why: "there is no such letter"})
			continue
		}
		if err := settle(l); err != nil {
			return answer, err
		}
	}
	for after := ""; ask.All; {
		some, err := h.store.Letters(ctx, ask.Sink, after, lettersAtOnce)
		if err != nil || len(some) == 0 {
			return answer, err
		}
		for _, l := range some {
			if err := settle(l); err != nil {
				return answer, err
			}
		}
		after = some[len(some)-1].ID
	}
	return answer, nil
}

func (h *Handler) dropLetter(ctx context.Context, sink string, l exchange.DeadLetter) (why string, err error) {
	dropped, err := h.store.Drop(ctx, sink, l)
	if err == nil && !dropped {
		why = "it is gone already"
	}
	return why, err
}

// replayLetter renders the message by the rules of now. What is written must be just what was removed when the letter was parked: only
// of those keys it is known that nothing newer came.
func (h *Handler) replayLetter(ctx context.Context, sink string, l exchange.DeadLetter) (why string, err error) {
	switch {
	case l.KeyOnly:
		return "its row was too large to be kept: when it can be written, have it read again with poller backfill", nil
	case len(l.Keys) == 0:
		return "its key was not known, and so nobody knows whether something newer came: correct the row, or have it read again with poller backfill", nil
	case !l.Replayable:
		return newer, nil
	}
	var body bytes.Buffer
	fmt.Fprintf(&body, `{"messages":[%s]}`, l.Message)
	b, err := change.ParseBatch(body.Bytes())
	if err != nil {
		return "it cannot be read: " + err.Error(), nil
	}
	w := &work{Renderer: rules.Renderer{Rules: h.rules}}
	w.Limits, w.Transform = h.Poison.limits(), h.transform.during(ctx)
	var poison *rules.Poison
	kept, err := w.one(0, &b.Messages[0])
	switch {
	case errors.As(err, &poison):
		return "it still cannot be written: " + poison.Cause.Error(), nil
	case err != nil:
		return "", err
	case !kept:
		return "the rules leave it out now", nil
	}
	written, err := h.store.Replay(ctx, sink, l.ID, w.Writes)
	if err == nil && !written {
		why = newer
	}
	return why, err
}

const newer = "something newer has come for its key, or its key is another one by the rules of now"

func (s *server) letters(c echo.Context) error {
	count, err := strconv.ParseInt(c.QueryParam("count"), 10, 64)
	if err != nil || count < 1 || count > exchange.MostLetters {
		count = exchange.MostLetters
	}
	found, err := s.DeadLetters(c.Request().Context(), c.QueryParam("sink"), c.QueryParam("after"), c.QueryParam("id"), count)
	if err != nil {
		return err
	}
	return answer(c, found)
}

func (s *server) settleLetters(c echo.Context) error {
	began := time.Now()
	var body bytes.Buffer
	if err := s.read(c, &body); err != nil {
		return err
	}
	var ask exchange.DeadLettersRequest
	if err := json.Unmarshal(body.Bytes(), &ask); err != nil {
		return malformed("this asks for nothing", err.Error())
	}
	done, err := s.SettleDeadLetters(c.Request().Context(), ask)
	if err != nil {
		return err
	}
	s.log.Info("dead letters settled", logging.Sink, ask.Sink, "do", ask.Do, "done", done.Done, "left", len(done.Left), logging.Took, time.Since(began))
	return answer(c, done)
}
