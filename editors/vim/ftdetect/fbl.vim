autocmd BufRead,BufNewFile *.fbl setfiletype fbl
