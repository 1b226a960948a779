package backfill

// Oldest is the page that waits longest, nil when none does.
func (p *Pages) Oldest() *Page {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.pages) == 0 {
		return nil
	}
	return p.pages[0]
}
