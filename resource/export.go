package resource

import (
	"context"
	"runtime/debug"
	"sync"

	"reeve/pagination"
)

// Export lists all that meets an operation's filters, in its order, page by page out of one state of the database.
// Send gets each page, of up to [pagination.MaxSize] rows, before the next one is read, and need not keep it; an error
// of send ends the export and is returned as it is. The operation's window and count are not asked.
//
// The errors are those of [Engine.Do], and Unavailable if too many exports run. What was sent before an error is
// part of the list.
func (e *Engine) Export(ctx context.Context, op Operation, send func(page Result) error) error {
	tx := e.newTx(ctx)
	defer tx.leave()
	tx.Principal, tx.Request = op.Principal, op.Request
	op.Window, op.Count = pagination.First(pagination.MaxSize), pagination.CountNone
	steps, err := tx.plan([]Operation{op}, true)
	if err != nil {
		return err
	}
	return e.database.Snapshot(ctx, func(ctx context.Context) error {
		collector.relax()
		defer collector.restore()
		tx.Context = ctx
		for {
			page, err := steps[0].run(tx)
			if err != nil {
				return err
			}
			if err := send(page); err != nil || !page.Page.Next {
				return err
			}
			op.Window = op.Window.Next(page.Resources.Place(op.Order, page.Resources.Len()-1))
			if steps, err = tx.plan([]Operation{op}, true); err != nil {
				return err
			}
		}
	})
}

// collector has the heap grow to five times what is in use, rather than the usual twice, while exports run: each row is
// garbage at once, and hardly anything else is in use. It saves an export a third of its CPU on SQLite.
var collector relaxation

const relaxedPercent = 400

// relaxation changes how often the whole process collects garbage while at least one asks for it.
type relaxation struct {
	mu    sync.Mutex
	asked int
	usual int // percent, as runtime/debug has it
}

func (r *relaxation) relax() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked++; r.asked == 1 {
		r.usual = debug.SetGCPercent(relaxedPercent)
	}
}

func (r *relaxation) restore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked--; r.asked == 0 {
		debug.SetGCPercent(r.usual)
	}
}
