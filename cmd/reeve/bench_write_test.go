//go:build bench

package main

// start measures how long Reeve takes to listen on a database that is there.
func (b *bench) start() {
	const name, most = "start, to 200 ms", 1
	if !b.wanted(name) {
		return
	}
	var times []float64
	for range 5 {
		p := b.serve(b.uri)
		times = append(times, p.took.Seconds())
		p.stop()
	}
	b.row(name, median(times)/0.2, most, 200_000, median(times)*1e6, 0)
}

// memory measures the resident memory of Reeve alone, without that of the database server.
func (b *bench) memory(r request) {
	for _, m := range []struct {
		name    string
		most    float64 // MB
		clients int
	}{{"resident memory when idle, to 25 MB", 25, 0}, {"resident memory with 64 clients, to 110 MB", 110, 64}} {
		if !b.wanted(m.name) {
			continue
		}
		p := b.serve(b.uri)
		if m.clients > 0 {
			b.load(subject{p, r}, 4**benchRequests, m.clients)
		}
		most := memory(p.cmd.Process.Pid, "VmHWM")
		p.stop()
		b.row(m.name, most/m.most, 1, 0, 0, most)
	}
}

func (b *bench) writes() {}
