package metrics

import "time"

// points turns samples, oldest first, into at most limit points, joining those that fall into the same stretch of time.
func points(samples []sample, from, to int64, limit int) []Point {
	if len(samples) <= limit {
		out := make([]Point, len(samples))
		for i := range samples {
			var j joined
			j.add(&samples[i])
			out[i] = j.point(samples[i].At, time.Duration(samples[i].step)*time.Second)
		}
		return out
	}
	from = min(from, samples[0].At)
	step := max(1, (to-from)/int64(limit)+1)
	var out []Point
	for i := 0; i < len(samples); {
		slot := (samples[i].At - from) / step
		var j joined
		for ; i < len(samples) && (samples[i].At-from)/step == slot; i++ {
			j.add(&samples[i])
		}
		out = append(out, j.point(from+slot*step, time.Duration(step)*time.Second))
	}
	return out
}

// joined sums samples up, weighted by how many raw ones they hold.
type joined struct {
	n                          int64
	cpu, memory, threads, proc float64
	files, filesN              float64
	cpuMax, memMax             int64
	disk                       *int64
	read, wrote, in, out       *int64
}

func (j *joined) add(s *sample) {
	w := float64(s.N)
	j.n += s.N
	j.cpu += w * float64(s.CPU)
	j.memory += w * float64(s.Memory)
	j.threads += w * float64(s.Threads)
	j.proc += w * float64(s.Procs)
	j.cpuMax, j.memMax = max(j.cpuMax, s.CPUMax), max(j.memMax, s.MemMax)
	if s.Files != nil {
		j.files += w * float64(*s.Files)
		j.filesN += w
	}
	if s.Disk != nil {
		j.disk = s.Disk
	}
	sumInto(&j.read, s.Read)
	sumInto(&j.wrote, s.Wrote)
	sumInto(&j.in, s.Received)
	sumInto(&j.out, s.Sent)
}

func sumInto(sum **int64, v *int64) {
	switch {
	case v == nil:
	case *sum == nil:
		*sum = new(*v)
	default:
		**sum += *v
	}
}

func (j *joined) point(at int64, step time.Duration) Point {
	n := max(1, float64(j.n))
	p := Point{
		At: time.Unix(at, 0).UTC(), Step: step, Samples: j.n,
		CPUPercent: j.cpu / n / 100, CPUMax: float64(j.cpuMax) / 100,
		MemoryBytes: int64(j.memory/n) << 10, MemoryMax: j.memMax << 10,
		Threads: j.threads / n, Processes: j.proc / n,
		ReadBytes: j.read, WriteBytes: j.wrote, ReceivedBytes: j.in, SentBytes: j.out,
	}
	if j.filesN > 0 {
		p.OpenFiles = new(j.files / j.filesN)
	}
	if j.disk != nil {
		p.DiskBytes = new(*j.disk << 10)
	}
	return p
}
