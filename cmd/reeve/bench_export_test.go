//go:build bench

package main

import (
	"bytes"
	"io"
	"net/http"
)

// exports measures exports of all users: the CPU time that Reeve alone takes for a row, and by how much its resident
// memory grows after the first tenth of the rows, each process exporting once.
func (b *bench) exports() {
	const cpu, growth = "export, CPU a row, to 2.5 us", "export, growth after the first tenth, to 10 MB"
	if !b.wanted(cpu) && !b.wanted(growth) {
		return
	}
	var times, grown, most []float64
	for range 5 {
		p := b.serve(b.uri)
		before := stat(p.cmd.Process.Pid).cpu
		rows, resident := b.export(p)
		times = append(times, (stat(p.cmd.Process.Pid).cpu-before).Seconds()*1e6/float64(rows))
		p.stop()
		tenth, highest := resident[0], resident[0]
		for _, figure := range resident {
			highest = max(highest, figure)
		}
		grown, most = append(grown, highest-tenth), append(most, highest)
	}
	b.row(cpu, median(times)/2.5, 1, 2.5, median(times), median(most))
	b.row(growth, median(grown)/10, 1, 0, 0, median(grown))
}

// export reads an export of all users, and samples the resident memory of the process from the first tenth of the
// rows on, in MB.
func (b *bench) export(p *child) (rows int, resident []float64) {
	b.Helper()
	r, err := http.NewRequest("GET", p.base+"/api/admin/v1/users", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+b.token)
	r.Header.Set("Accept", "application/x-ndjson")
	r.Header.Set("Accept-Encoding", "identity")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		b.Fatal(answer.Status)
	}
	piece := make([]byte, 64<<10)
	for next := *walkUsers / 10; ; {
		n, err := answer.Body.Read(piece)
		if rows += bytes.Count(piece[:n], []byte("\n")); rows >= next {
			resident = append(resident, memory(p.cmd.Process.Pid, "VmRSS"))
			next += *walkUsers / 100
		}
		switch {
		case err == io.EOF && rows >= *walkUsers:
			return rows, resident
		case err != nil:
			b.Fatal(rows, err)
		}
	}
}
