package replication

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"freshet/shared/change"
)

// ErrSlotInUse says that another process streams from the slot.
var ErrSlotInUse = errors.New("the slot is in use by another process")

// ErrServerStopping says that Postgres is shutting down and waits for us to let go.
var ErrServerStopping = errors.New("the server is shutting down")

// Stream is one replication connection that is streaming. One goroutine receives; Report may be called from others.
type Stream struct {
	System   string // system identifier of the cluster
	Timeline int32
	Database string
	PID      int32 // of the server's process that serves it

	conn     net.Conn
	rest     Rest
	buffered *bufio.Reader
	frontend *pgproto3.Frontend
	received atomic.Uint64

	writing sync.Mutex
	status  []byte

	pings pings
}

// Connection is a replication connection that does not stream yet.
type Connection struct {
	stream *Stream
	conn   *pgconn.PgConn
	config Config
}

// Connect opens a replication connection. The slot need not exist. pins are the session's settings that make text output the same everywhere.
func Connect(ctx context.Context, c Config, pins map[string]string) (*Connection, error) {
	s := &Stream{}
	config, err := pgconn.ParseConfig(c.DatabaseURL.Reveal())
	if err != nil {
		return nil, errors.New("DATABASE_URL cannot be parsed")
	}
	maps.Copy(config.RuntimeParams, pins)
	config.RuntimeParams["idle_session_timeout"] = "0" // making the slot may take long, and nothing is asked meanwhile
	config.RuntimeParams["replication"] = "database"
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = c.Slot // what synchronous_standby_names matches
	}
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		s.buffered = bufio.NewReaderSize(counted{r, &s.rest}, 256<<10)
		return pgproto3.NewFrontend(s.buffered, w)
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open the replication connection: %w", err)
	}
	return &Connection{stream: s, conn: conn, config: c}, nil
}

// Close is for a connection that is not to stream. It holds nothing, so that an error makes no difference.
func (c *Connection) Close(ctx context.Context) { _ = c.conn.Close(ctx) }

// Start acquires the slot and starts streaming from its confirmed position. The connection is the stream's then; when there is an error it is closed.
//
// The start position is 0/0, which the server reads as "where the slot is": the slot is the only place that remembers it, and a position above
// it would be obeyed by skipping data.
// https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-START-REPLICATION-SLOT-LOGICAL
func (c *Connection) Start(ctx context.Context) (*Stream, error) {
	if err := c.stream.start(ctx, c.conn, c.config); err != nil {
		c.Close(context.WithoutCancel(ctx)) // the error that matters is the one we return
		return nil, err
	}
	return c.stream, nil
}

func (s *Stream) start(ctx context.Context, conn *pgconn.PgConn, c Config) error {
	system, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return fmt.Errorf("identify the system: %w", err)
	}
	s.System, s.Timeline, s.Database = system.SystemID, system.Timeline, system.DBName
	err = pglogrepl.StartReplication(ctx, conn, c.Slot, 0, pglogrepl.StartReplicationOptions{
		Mode:       pglogrepl.LogicalReplication,
		PluginArgs: []string{"proto_version '1'", fmt.Sprintf("publication_names '\"%s\"'", c.Publication), "messages 'true'"},
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "55006" { // object_in_use
		return ErrSlotInUse
	}
	if err != nil {
		return fmt.Errorf("start streaming from slot %q: %w", c.Slot, err)
	}
	// From here on reads block without a deadline while reports are written beside them, which pgconn does not allow.
	own, err := conn.Hijack()
	if err != nil {
		return fmt.Errorf("take over the replication connection: %w", err)
	}
	s.conn, s.frontend, s.PID = own.Conn, own.Frontend, int32(own.PID)
	s.rest.longest = approach(s.conn)
	return nil
}

// counted tells rest what is read.
type counted struct {
	io.Reader
	rest *Rest
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.rest.Read(n)
	return n, err
}

// Event is one thing the server sent. Data is nil for a keepalive, and valid until the next Receive.
type Event struct {
	Data []byte // one pgoutput message
	LSN  change.LSN
	// Sent is when the data was sent, by the server's clock.
	Sent time.Time
	// Reply is set when the server asks for a report at once.
	Reply bool
}

// Receive waits for the next event. For data, LSN is where its record begins (0 for some); for a keepalive, all the server has
// sent so far lies before it.
// https://www.postgresql.org/docs/current/protocol-replication.html
func (s *Stream) Receive() (Event, error) {
	s.rest.Event()
	for {
		message, err := s.frontend.Receive()
		if err != nil {
			return Event{}, fmt.Errorf("read the replication stream: %w", err)
		}
		switch m := message.(type) {
		case *pgproto3.CopyData:
			e, err := s.event(m.Data)
			if err != nil || e.Data != nil || e.LSN != 0 {
				return e, err
			}
		case *pgproto3.ErrorResponse:
			return Event{}, fmt.Errorf("the server ended the stream: %w", pgconn.ErrorResponseToPgError(m))
		case *pgproto3.CopyDone, *pgproto3.CommandComplete: // the latter when all was confirmed
			return Event{}, ErrServerStopping
		case *pgproto3.NoticeResponse, *pgproto3.ParameterStatus:
		default:
			return Event{}, fmt.Errorf("unexpected %T in the replication stream", message)
		}
	}
}

const (
	dataHeader      = 1 + 8 + 8 + 8
	keepaliveLength = 1 + 8 + 8 + 1
)

func (s *Stream) event(data []byte) (Event, error) {
	switch {
	case len(data) > dataHeader && data[0] == 'w':
		lsn := change.LSN(binary.BigEndian.Uint64(data[1:]))
		s.advance(lsn)
		return Event{Data: data[dataHeader:], LSN: lsn, Sent: serverTime(binary.BigEndian.Uint64(data[17:]))}, nil
	case len(data) == keepaliveLength && data[0] == 'k':
		lsn := change.LSN(binary.BigEndian.Uint64(data[1:]))
		s.advance(lsn)
		e := Event{LSN: lsn, Reply: data[17] == 1}
		if e.Reply && s.pings.stopping(lsn, time.Now()) {
			return e, ErrServerStopping
		}
		return e, nil
	case len(data) > 0:
		return Event{}, fmt.Errorf("unknown replication message %q", data[0])
	}
	return Event{}, nil
}

func (s *Stream) advance(lsn change.LSN) {
	if uint64(lsn) > s.received.Load() {
		s.received.Store(uint64(lsn))
	}
}

// Received is the highest position the server has sent.
func (s *Stream) Received() change.LSN { return change.LSN(s.received.Load()) }

// Drained says that everything which has arrived was received.
func (s *Stream) Drained() bool { return s.frontend.ReadBufferLen() == 0 && s.buffered.Buffered() == 0 }

// Rest is asked when the stream is drained: for how long it should be left alone, and whether it is busy. lag is how far it is behind.
func (s *Stream) Rest(now time.Time, lag time.Duration) (d time.Duration, busy bool) {
	return s.rest.Due(now, lag), s.rest.Busy()
}

// statusTimeout bounds a report: a server that takes none for so long is gone.
const statusTimeout = 30 * time.Second

// Report tells the server how far we are: received, applied (settled in Redis), and confirmed, which alone moves the slot. confirmed
// must not be zero: the server's own position is never zero, and a client library might read it as "all".
func (s *Stream) Report(received, applied, confirmed change.LSN) error {
	if confirmed == 0 {
		return errors.New("refusing to report a zero flush position")
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	b := append(s.status[:0], 'd', 0, 0, 0, 4+1+8+8+8+8+1, 'r')
	b = binary.BigEndian.AppendUint64(b, uint64(max(received, applied, confirmed)))
	b = binary.BigEndian.AppendUint64(b, uint64(confirmed))
	b = binary.BigEndian.AppendUint64(b, uint64(max(applied, confirmed)))
	b = binary.BigEndian.AppendUint64(b, uint64(time.Since(epoch).Microseconds()))
	b = append(b, 0)
	s.status = b
	if err := s.conn.SetWriteDeadline(time.Now().Add(statusTimeout)); err != nil {
		return fmt.Errorf("report to the server: %w", err)
	}
	if _, err := s.conn.Write(b); err != nil {
		return fmt.Errorf("report to the server: %w", err)
	}
	return nil
}

// epoch is where Postgres counts time from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func serverTime(microseconds uint64) time.Time {
	return epoch.Add(time.Duration(microseconds) * time.Microsecond)
}

// Interrupt makes a Receive that waits return with an error, now and later.
func (s *Stream) Interrupt() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) } // a closed connection is interrupted already

// closeTimeout bounds a farewell.
const closeTimeout = 3 * time.Second

// Close ends the stream: CopyDone, Terminate, close. Nobody may be receiving any more. What the server is still sending is read and dropped:
// a connection that is closed with unread data is reset, and the reset would overtake the last report.
func (s *Stream) Close() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_ = s.conn.SetDeadline(time.Now().Add(closeTimeout))
	_, err := s.conn.Write([]byte{'c', 0, 0, 0, 4, 'X', 0, 0, 0, 4})
	if err == nil {
		_, _ = io.Copy(io.Discard, s.conn) // until the server has closed its end
	}
	return errors.Join(err, s.conn.Close())
}
