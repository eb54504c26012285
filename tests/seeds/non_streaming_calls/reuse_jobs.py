# ✅ Good - One job for related calls
job_id = create_job("document_analysis")
extract_text(job_id)
classify_content(job_id)
generate_summary(job_id)
complete_job(job_id)
# ❌ Bad - Separate jobs for related calls
job1 = create_job("extract_text")
extract_text(job1)
complete_job(job1)
job2 = create_job("classify_content")
classify_content(job2)
complete_job(job2)
